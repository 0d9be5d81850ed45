"""What is loaded inside the sandbox, and by which paths it gets there."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

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
    top = {f"vr.verify.{name}" for name in ("api", "cpu_clock", "registry", "types", "wire", "sandbox")}
    inside = {f"vr.verify.sandbox.{name}" for name in ("child", "confine", "landlock", "prelude", "seccomp", "server")}
    assert rooms == top | inside
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
