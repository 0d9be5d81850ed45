"""What is loaded inside the sandbox, by which paths it gets there, and what is left when a process above it dies."""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from vr.verify.sandbox import child, server
from vr.verify.sandbox.child import PACKAGE_ROOT
from vr.verify.sandbox.isolation import probe
from vr.verify.sandbox.sandbox import Sandbox, SandboxError, _links_to

LOADED = """
import json, sys
import vr.verify.sandbox.server
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(json.dumps(files))
"""


def test_the_server_loads_neither_the_pool_nor_any_package_that_is_not_part_of_python():
    done = subprocess.run([sys.executable, "-s", "-c", LOADED], cwd=PACKAGE_ROOT, capture_output=True, check=True)
    files = json.loads(done.stdout)
    rooms = {name for name in files if name.startswith("vr.")} - {"vr.verify"}
    leaves = {"vr.tables", "vr.tables.vocabulary"}
    top = {f"vr.verify.{name}" for name in ("api", "cpu_clock", "printable", "registry", "types", "wire", "sandbox")}
    modules = ("child", "confine", "landlock", "limits", "prelude", "seccomp", "server", "values")
    inside = {f"vr.verify.sandbox.{name}" for name in modules}
    assert rooms == top | inside | leaves
    started = subprocess.run(  # what the interpreter itself loads at its start, such as the .pth files of packages
        [sys.executable, "-s", "-c", "import json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        check=True,
    )
    loaded = files.keys() - set(json.loads(started.stdout))
    assert [name for name in loaded if "site-packages" in files[name]] == []


def test_links_are_followed_folder_by_folder(tmp_path):
    # start -> a/b; a -> c; c/b is a file: start leads to a/b, a to c, and the file is c/b.
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "b").touch()
    (tmp_path / "a").symlink_to("c")
    (tmp_path / "start").symlink_to(tmp_path / "a" / "b")
    links = {str(tmp_path / "start"): str(tmp_path / "a" / "b"), str(tmp_path / "a"): "c"}
    assert _links_to({str(tmp_path / "start")}) == links
    assert _links_to({str(tmp_path / "c" / ".." / "a" / "b")}) == {str(tmp_path / "a"): "c"}
    assert _links_to({str(tmp_path / "c" / "b")}) == {}


def test_an_environment_that_is_a_link_to_an_interpreter_behind_links_runs_at_level_full(tmp_path):
    if not probe("full").holds:
        pytest.skip("level full does not hold here")
    python = os.path.realpath(sys.executable)
    (tmp_path / "python").symlink_to(os.path.dirname(os.path.dirname(python)))  # as version managers do
    (tmp_path / "elsewhere" / "bin").mkdir(parents=True)
    (tmp_path / "elsewhere" / "bin" / "python").symlink_to(tmp_path / "python" / "bin" / os.path.basename(python))
    (tmp_path / "elsewhere" / "pyvenv.cfg").write_text(f"home = {os.path.dirname(python)}\n")
    (tmp_path / ".venv").symlink_to("elsewhere")
    code = "from vr.verify.sandbox.isolation import probe; print(probe('full').holds)"
    command = [tmp_path / ".venv" / "bin" / "python", "-c", code]
    printed = subprocess.run(command, cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "True\n"


def test_a_checkout_that_is_reached_by_a_link_runs_at_level_full(tmp_path):
    if not probe("full").holds:
        pytest.skip("level full does not hold here")
    (tmp_path / "checkout").symlink_to(PACKAGE_ROOT)
    code = "from vr.verify.sandbox.isolation import probe; print(probe('full').holds)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "checkout")}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True).stdout
    assert printed == "True\n"


def test_programs_do_not_see_the_checkout_but_they_see_installed_packages(monkeypatch):
    installed = sysconfig.get_path("purelib")
    assert server._without_checkout([PACKAGE_ROOT, "/lib/python", installed]) == ["/lib/python", installed]
    monkeypatch.setattr(child, "PACKAGE_ROOT", installed)  # as after an installation from a wheel
    assert server._without_checkout(["/lib/python", installed]) == ["/lib/python", installed]


def test_the_package_root_holds_the_package():
    assert (Path(PACKAGE_ROOT) / "vr" / "verify" / "sandbox" / "server.py").is_file()


def test_a_module_that_cannot_be_preloaded_is_named(isolation_level):
    with pytest.raises(SandboxError, match=r"cannot preload no_such_module: No module named 'no_such_module'$"):
        Sandbox(isolation_level, ("no_such_module",)).start()


SLEEPING = "import time; time.sleep(60)"
IN_A_SANDBOX = f"""
import sys
from vr.verify.sandbox.sandbox import Sandbox, SealedFile
with SealedFile(b'{{"code": "{SLEEPING}", "name": null}}') as job:
    Sandbox(sys.argv[1]).run(job, job)
"""
IN_THE_POOL = f"""
import json
from vr.verify import Task, verify
tests = json.dumps({{"inputs": [""], "outputs": ["1"]}})
list(verify([Task("stdin", "```python\\n{SLEEPING}\\n```", None, tests)], workers=1))
"""


def line_above_a_sleeping_program(caller: int, *, n_above: int) -> list[psutil.Process]:
    """The processes from the caller, without it, down to the program, as soon as there are more than `n_above`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        line = [psutil.Process(caller)]
        with contextlib.suppress(psutil.NoSuchProcess):  # those that probe the levels come and go
            while children := line[-1].children():
                line.append(children[-1])
        if len(line) > n_above + 1:
            time.sleep(0.3)  # until the program itself runs
            return line[1:]
        time.sleep(0.02)
    raise TimeoutError


def wait_until_gone(process: psutil.Process) -> None:
    """Wait for less than the time that a program may sleep: after that the server would end it."""
    deadline = time.monotonic() + 5
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"{process} is still there"
            time.sleep(0.02)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a Python process in this checkout; it is ended with the test."""
    started = []

    def start_one(code: str, *arguments: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=PACKAGE_ROOT))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("level", ["native", "full"])
@pytest.mark.parametrize("victim", ["worker", "server", "what the worker started"])
def test_a_sleeping_program_dies_with_every_process_above_it(start, level, victim):
    if not probe(level).holds:
        pytest.skip(f"level {level} does not hold here")
    worker = start(IN_A_SANDBOX, level)
    line = line_above_a_sleeping_program(worker.pid, n_above={"native": 1, "full": 3}[level])
    killed = {"worker": psutil.Process(worker.pid), "server": line[-2], "what the worker started": line[0]}[victim]
    killed.kill()
    wait_until_gone(line[-1])


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["caller", "fork server of the pool", "worker"])
def test_a_sleeping_program_dies_with_every_process_of_the_pool(start, isolation_level, victim):
    caller = start(IN_THE_POOL)
    line = line_above_a_sleeping_program(caller.pid, n_above={"native": 3, "full": 5}[isolation_level])
    {"caller": psutil.Process(caller.pid), "fork server of the pool": line[0], "worker": line[1]}[victim].kill()
    wait_until_gone(line[-1])


def test_a_program_goes_first_where_memory_runs_out(start, isolation_level):
    worker = start(IN_A_SANDBOX, isolation_level)
    line = line_above_a_sleeping_program(worker.pid, n_above={"native": 1, "full": 3}[isolation_level])
    scores = [int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) for process in line[-2:]]
    assert scores == [int(Path("/proc/self/oom_score_adj").read_text()), 1000]
