"""Verifiers that behave in ways that the pool must survive. The task's answer says how."""

import ctypes
import os
import signal
import time
from pathlib import Path

from vr.verify import Finding, Kind, Task
from vr.verify.registry import WorkerContext


def judge_oddly(task: Task, context: WorkerContext) -> Finding:
    """Sleep, burn, crash, grow, raise or send heartbeats, as told."""
    what, _, amount = (task.answer or "").partition(" ")
    number = float(amount or 0) if what != "die_once" else 0.0
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
    elif what == "exit":
        os._exit(int(number))
    elif what == "die_once":  # killed from outside, as by the kernel when memory runs out; the mark is a file's name
        if not os.path.exists(amount):
            open(amount, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
    elif what == "grow":
        bytearray(int(number) << 20)
    elif what == "raise":
        raise RuntimeError("no luck")
    elif what == "beat":
        for _ in range(int(number)):
            time.sleep(0.1)
            context.heartbeat()
    return Finding("correct", task.answer or "")


def warm_up() -> None:
    """Leaves a mark with the number of the process that ran it."""
    _mark("warm_up")


def clean_up() -> None:
    """The same."""
    _mark("clean_up")


def _mark(name: str) -> None:
    Path(os.environ["VR_ODD_HOOKS"], f"{name}-{os.getpid()}").touch()


ODD = Kind("tests.verify.pool.odd_kinds:judge_oddly", cpu_seconds=0.4, wall_seconds=3.0, memory_bytes=1 << 30)
