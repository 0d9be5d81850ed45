"""Stages side by side through DVC, on a small project of toy stages: the same result as `dvc repro`, nothing lost."""

import inspect
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages import reproduce

ROOT = Path(__file__).parent.parent
DVC = Path(sys.executable).with_name("dvc")
# The file `orders/NAME` tells the toy stage NAME to fail, to sleep, or to wait until another one has begun.
TOY = """
import os, pathlib, sys, time

name, out, *inputs = sys.argv[1:]
with pathlib.Path("begun", name).open("a") as file:
    file.write(f"{os.getpid()}\\n")
order = pathlib.Path("orders", name)
match order.read_text().split() if order.exists() else []:
    case ["fail"]:
        sys.exit("broken on purpose")
    case ["sleep"]:
        time.sleep(300)
    case ["meet", other]:
        end = time.monotonic() + 60
        while not pathlib.Path("begun", other).exists():
            if time.monotonic() > end:
                sys.exit(f"{other} did not begin meanwhile")
            time.sleep(0.01)
pathlib.Path(out).parent.mkdir(exist_ok=True)
pathlib.Path(out).write_text(name + "".join(f"({pathlib.Path(path).read_text()})" for path in inputs))
"""
MAIN = """
stages:
  source: {cmd: python toy.py source source, outs: [source]}
  left:
    matrix: {seed: [0, 1, 2]}
    cmd: "python toy.py left-${item.seed} left/${item.seed} source"
    deps: [source]
    outs: ["left/${item.seed}"]
  right: {cmd: python toy.py right right source, deps: [source], outs: [right]}
  join: {cmd: python toy.py join join left/0 right, deps: [left, right, branch/a], outs: [join]}
  last: {cmd: python toy.py last last join, deps: [join], outs: [last]}
"""
OPTIONAL = """
stages:
  branch:
    matrix: {name: [a, b]}
    wdir: ..
    cmd: "python toy.py branch-${item.name} branch/${item.name} source"
    deps: [source]
    outs: ["branch/${item.name}"]
"""
NEEDED = {"source", "left-0", "left-1", "left-2", "right", "branch-a", "join", "last"}
ENV = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{DVC.parent}:{os.environ['PATH']}"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of nine toy stages, of which the main pipeline needs eight; nothing has run yet."""
    files = {"toy.py": TOY, "dvc.yaml": MAIN, "stages/dvc.yaml": OPTIONAL, "machine.yaml": "stages_at_once: 4\n"}
    files |= {".gitignore": "/left/\n/branch/\n/source\n/right\n/join\n/last\n", "begun/.keep": "", "orders/.keep": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "--quiet")
    return tmp_path


def dvc(project: Path, *arguments: str) -> str:
    return subprocess.run([DVC, *arguments], cwd=project, env=ENV, check=True, capture_output=True, text=True).stdout


def start(project: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stages.reproduce"]
    return subprocess.Popen(
        command, cwd=project, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(project: Path) -> tuple[int, list[str], list[str]]:
    """Exit status, lines and error lines of a whole run."""
    runner = start(project)
    out, err = runner.communicate(timeout=120)
    return runner.returncode, out.splitlines(), err.splitlines()


def order(project: Path, **orders: str) -> None:
    for name, text in orders.items():
        (project / "orders" / name.replace("_", "-")).write_text(text)


def begun(project: Path) -> dict[str, int]:
    """How often each stage has begun."""
    return {file.name: len(file.read_text().splitlines()) for file in (project / "begun").glob("[!.]*")}


def locks(project: Path) -> list[Any]:
    return [YAML(typ="safe").load((project / name).read_text()) for name in ("dvc.lock", "stages/dvc.lock")]


def recorded(project: Path) -> set[str]:
    """The stages that DVC has seen end well, out of its lock file."""
    lock = project / "dvc.lock"
    # by lines, since DVC may be writing the file at this moment
    return set(re.findall(r"^  (\S+):$", lock.read_text(), re.MULTILINE)) if lock.exists() else set()


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_result_is_that_of_dvc_repro_with_independent_stages_at_the_same_time(project):
    order(project, left_0="meet right", right="meet left-1", left_1="meet left-2", left_2="meet left-0")
    status, lines, _ = finish(project)
    assert status == 0
    assert begun(project) == dict.fromkeys(NEEDED, 1)
    assert (project / "last").read_text() == "last(join(left-0(source))(right(source)))"
    assert "right: > python toy.py right right source" in lines
    assert all(line.split(": ")[0].replace("@", "-") in NEEDED for line in lines)
    assert "up to date" in dvc(project, "status", "--with-deps", "last")
    side_by_side = locks(project)

    assert "up to date" in dvc(project, "repro")
    assert finish(project)[:2] == (0, [])
    assert begun(project) == dict.fromkeys(NEEDED, 1)

    for name in ("dvc.lock", "stages/dvc.lock"):
        (project / name).unlink()
    order(project, left_0="", right="", left_1="", left_2="")
    dvc(project, "repro", "--no-run-cache")
    assert locks(project) == side_by_side


@pytest.mark.slow
def test_a_failure_is_named_what_ran_beside_it_is_kept_and_the_next_run_does_the_rest(project):
    order(project, left_0="fail", right="meet left-0")
    status, _, errors = finish(project)
    assert status == 1
    assert errors[-1] == "left@0: failed; all that it has written is in .dvc/tmp/stages/left@0.log"
    assert "broken on purpose" in (project / ".dvc/tmp/stages/left@0.log").read_text()
    assert (project / "right").exists()
    assert begun(project).keys() & {"join", "last"} == set()

    order(project, left_0="")
    assert finish(project)[0] == 0
    assert begun(project) == dict.fromkeys(NEEDED, 1) | {"left-0": 2}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_stage_goes_on_without_the_program_that_started_it(project, number):
    order(project, left_0="sleep", right="sleep")
    runner = start(project)
    wait_for(lambda: begun(project).keys() >= {"left-0", "right"})
    wait_for(lambda: recorded(project) >= {"source", "left@1", "left@2"})
    children = psutil.Process(runner.pid).children(recursive=True)
    runner.send_signal(number)
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == (-number if number == signal.SIGKILL else 1)
    if number != signal.SIGKILL:
        assert errors.splitlines()[-1] == "interrupted; the next run goes on from here"
    assert psutil.wait_procs(children, timeout=60)[1] == []  # DVC's own processes, which hold its locks, and the stages

    order(project, left_0="", right="")
    assert finish(project)[0] == 0
    assert {name for name, times in begun(project).items() if times > 1} <= {"left-0", "right", "branch-a"}


def test_dvc_still_has_the_private_argument_by_which_processes_wait_for_each_other():
    """Without it they give up the repository's lock after three seconds, and finished work is lost."""
    assert inspect.signature(Repo.__init__).parameters["_wait_for_lock"].default is False


def test_a_stage_starts_when_those_before_it_have_ended_and_no_more_than_allowed_run_at_once(monkeypatch, tmp_path):
    def note(name, _log, _runner):
        with (tmp_path / "notes").open("a") as file:
            print("begin", name, file=file)
        time.sleep(0.3)
        with (tmp_path / "notes").open("a") as file:
            print("end", name, file=file)

    monkeypatch.setattr(reproduce, "_reproduce", note)
    monkeypatch.chdir(tmp_path)
    assert reproduce.run({"a": set(), "b": set(), "c": set(), "d": {"a", "b"}}, 2) == ([], False)
    notes = (tmp_path / "notes").read_text().splitlines()
    at_once = [sum({"begin": 1, "end": -1}[note.split()[0]] for note in notes[: n + 1]) for n in range(len(notes))]
    assert max(at_once) == 2
    assert notes.index("begin d") > max(notes.index("end a"), notes.index("end b"))


def test_a_progress_bar_becomes_one_line_in_its_last_state(monkeypatch, tmp_path, capsys):
    def write(_name, log, _runner):
        log.write_bytes(b"begin\n 1%\r 50%\r\xe2\x96\x88 100%\nincomplete")

    monkeypatch.setattr(reproduce, "_reproduce", write)
    monkeypatch.chdir(tmp_path)
    reproduce.run({"stages/dvc.yaml:train@0": set()}, 1)
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ["train@0: begin", "train@0: █ 100%", "train@0: incomplete"]
    assert last.startswith("train@0: ended after")
