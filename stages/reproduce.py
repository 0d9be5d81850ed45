"""Run the stages that are out of date, independent ones side by side, each through DVC: `python -m stages.reproduce`.

DVC knows which stages there are, what each depends on and whether it has changed, but runs one at a time. This
program starts a process for each stage as soon as those before it have ended, and DVC reproduces that one stage in it.
`stages_at_once` in machine.yaml says how many run at once. Nothing is decided here that DVC would decide otherwise: a
plain `dvc repro` afterwards finds nothing to do. Not covered: targets, forcing, experiments; `dvc` has them.

After a failure no further stage is started, and those that run may end. Ctrl-C, SIGTERM and the death of this program
interrupt them; a later run goes on from what they have left in their work folders.
"""

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import BinaryIO

from dvc.exceptions import DvcException
from dvc.progress import Tqdm
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro

from stages._settings import machine, one_line
from vr.execution.processes import when_ended

LOGS = Path(".dvc", "tmp", "stages")
PROGRESS_S = 30
"""A progress bar is redrawn all the time; it is printed this often."""
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass
class Running:
    """A stage at work, and how much of its output has been printed."""

    name: str
    process: BaseProcess
    log: BinaryIO
    started: float = field(default_factory=time.monotonic)
    printed: float = field(default_factory=time.monotonic)
    line: bytes = b""  # the last one, not yet complete


def out_of_date() -> dict[str, set[str]]:
    """The stages that the root pipeline needs and that have changed, in DVC's order, each with those to wait for.

    A stage that depends on one of them is among them too; DVC decides about it when its turn comes.
    """
    found: dict[str, set[str]] = {}
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        graph = get_active_graph(repo.index.graph)  # its edges lead from a stage to those that it depends on
        for stage in plan_repro(graph, repo.stage.collect("dvc.yaml")):
            before = {other.addressing for other in graph.successors(stage)} & found.keys()
            if before or stage.changed():
                found[stage.addressing] = before
    return found


def run(todo: dict[str, set[str]], at_once: int) -> tuple[list[str], bool]:
    """Run stages, each after those that it waits for, up to `at_once` side by side.

    Returns:
        The stages that failed, and whether a signal interrupted the run.
    """
    waiting, running = dict(todo), dict[str, Running]()
    failed, interrupted = list[str](), False
    while running or (waiting and not failed and not interrupted):
        if not failed and not interrupted:
            unfinished = waiting.keys() | running.keys()
            ready = [name for name, before in waiting.items() if not before & unfinished]
            for name in ready[: at_once - len(running)]:
                running[name] = _start(name)
                del waiting[name]
        if signal.sigtimedwait(_SIGNALS, 0.1):
            interrupted = True
            for stage in running.values():
                os.killpg(stage.process.pid or 0, signal.SIGINT)
        for stage in list(running.values()):
            if _ended(stage):
                del running[stage.name]
                failed += [stage.name] * (stage.process.exitcode != 0)
    return failed, interrupted


def _start(name: str) -> Running:
    """Start one stage in a fork of this process, in which DVC is loaded already."""
    log = _log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    process = get_context("fork").Process(target=_reproduce, args=(name, log, os.getpid()))
    process.start()
    with suppress(OSError):  # done by the process itself, or it has ended
        os.setpgid(process.pid or 0, 0)
    return Running(name, process, log.open("rb"))


def _reproduce(name: str, log: Path, runner: int) -> None:
    os.setpgid(0, 0)  # the group of all that this stage starts: it is interrupted by the runner, not by the terminal
    when_ended(runner, lambda: os.killpg(0, signal.SIGINT))
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        with Repo(_wait_for_lock=True) as repo:
            repo.scm_context.quiet = True  # no advice after each stage on what to add to git
            repo.reproduce(name, single_item=True)
    except DvcException as error:
        sys.exit(f"{error}: {error.__cause__}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _ended(stage: Running) -> bool:
    """Print what a stage has written since the last call, each line after the stage's name; whether it has ended."""
    ended = not stage.process.is_alive()
    *lines, stage.line = (stage.line + stage.log.read()).split(b"\n")
    if ended or (b"\r" in stage.line and time.monotonic() > stage.printed + PROGRESS_S):
        lines.append(stage.line)
    if ended:
        how = b"failed" if stage.process.exitcode else b"ended"
        lines.append(b"%s after %.0f s" % (how, time.monotonic() - stage.started))
        stage.log.close()
    for line in lines:
        if text := line.decode(errors="replace").rstrip().rpartition("\r")[2]:  # of a progress bar, the last state
            print(f"{_short(stage.name)}: {text}", flush=True)
            stage.printed = time.monotonic()
    return ended


def _short(name: str) -> str:
    """A stage's name without the file that defines it."""
    return name.rpartition(":")[2]


def _log(name: str) -> Path:
    """The file with all that a stage has written in its last run."""
    return LOGS / f"{_short(name)}.log"


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m stages.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    Tqdm.monitor_interval = 0  # no thread in this process, because it is forked
    try:
        at_once = machine().at_once
        todo = out_of_date()
    except (ValueError, OSError, DvcException) as error:
        sys.exit("\n".join(f"error: {one_line(line)}" for line in str(error).splitlines()))
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # `run` asks for them
    failed, interrupted = run(todo, at_once)
    if interrupted:
        sys.exit("interrupted; the next run goes on from here")
    if failed:
        sys.exit("\n".join(f"{_short(name)}: failed; all that it has written is in {_log(name)}" for name in failed))


if __name__ == "__main__":
    main()
