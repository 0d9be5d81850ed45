"""Verifiers that behave in ways that the pool must survive. The task's answer says how."""

import ctypes
import os
import signal
import time
from pathlib import Path

from vr.verify import Finding, Kind, Task
from vr.verify.registry import WorkerContext

_seen: list[str] = []
"""What this worker has judged."""


def judge_oddly(task: Task, context: WorkerContext) -> Finding:
    """Sleep, burn, crash, grow, raise, send heartbeats or find odd things, as told."""
    what, _, amount = (task.answer or "").partition(" ")
    number = float(amount or 0) if what not in ("die_once", "fail_once", "find") else 0.0
    _seen.append(what)
    if what == "sleep":
        time.sleep(number)
    elif what == "burn":
        end = time.process_time() + number
        while time.process_time() < end:
            pass
    elif what == "hang":
        sum(iter(int, 1))  # inside C, where no Python signal handler ever runs
    elif what == "crash":
        ctypes.string_at(0)
    elif what == "signal":
        os.kill(os.getpid(), int(number))
    elif what == "recurse":
        judge_oddly(task, context)
    elif what == "recurse_unless_first" and len(_seen) > 1:
        raise RecursionError
    elif what == "find":
        return FINDINGS[amount]  # type: ignore[return-value]
    elif what == "seen":
        return Finding("correct", " ".join(_seen))
    elif what == "exit":
        os._exit(int(number))
    elif what == "die_once":  # killed from outside, as by the kernel when memory runs out; the mark is a file's name
        if not os.path.exists(amount):
            open(amount, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
    elif what == "fail_once":
        if not os.path.exists(amount):
            open(amount, "x").close()
            return Finding("crashed", "the sandbox did not start")
    elif what == "end_the_forkserver":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    elif what == "grow":
        bytearray(int(number) << 20)
    elif what == "raise":
        raise RuntimeError("no luck")
    elif what == "beat":
        for _ in range(int(number)):
            time.sleep(0.1)
            context.heartbeat()
    return Finding("correct", task.answer or "")


FINDINGS = {
    "surrogate": Finding("wrong", "name \ud800 is not \x1b[2J defined"),
    "an outcome of its own": Finding("nearly"),
    "a level of its own": Finding("correct", isolation="very"),
    "no text": Finding("correct", 5),  # type: ignore[arg-type]
    "no time": Finding("correct", program_cpu_seconds=float("nan")),
    "nothing": None,
}
"""What a verifier should not find."""


def warm_up() -> None:
    """Leaves a mark with the number of the process that ran it."""
    _mark("warm_up")


def fail_to_warm_up() -> None:
    """A package that this verifier needs is not there."""
    raise ModuleNotFoundError("No module named 'oddity'")


def clean_up() -> None:
    """The same."""
    _mark("clean_up")


def _mark(name: str) -> None:
    Path(os.environ["VR_ODD_HOOKS"], f"{name}-{os.getpid()}").touch()


ODD = Kind("tests.verify.pool.odd_kinds:judge_oddly", cpu_seconds=0.4, wall_seconds=3.0, memory_bytes=1 << 30)
