"""The fork server inside the sandbox: one warm interpreter, one fork for each run of a program.

It holds no code, no input and no expected output: the forked child reads its job from a descriptor of its
own. The server measures processor time, holds the wall-time backstop and the bound on threads, and reports.
It ends when the grader's end of its socket closes. Standard library only (numpy where asked for).

Started as ``server LEVEL DESCRIPTOR NUMPY`` by ``sandbox.py``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from vr.verify import child
from vr.verify.confine import Confinement, bare_environment
from vr.verify.pool import process_cpu_seconds
from vr.verify.wire import send_message

STOP = b"s"
"""Sent by the grader to end the run at hand."""
LOOK_EVERY_SECONDS = 0.05
MAX_THREADS = 128
THREAD_STACK_BYTES = 16 << 20
WALL_FACTOR = 3.0
"""Wall time allowed per second of processor time, for a program that does not use the processor."""
STARVED_FACTOR = 25.0
"""The same for one that does use it but must share it with others."""
IDLE_SHARE = 0.02
PRELOAD = (
    *("array", "cmath", "concurrent.futures", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("io", "json", "numbers", "pprint", "queue", "statistics", "textwrap", "tokenize", "traceback", "types"),
)
"""What programs often import: loaded once here instead of in every run."""


def main() -> None:
    """Serve until the grader closes."""
    level, descriptor, with_numpy = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1"
    sock = socket.socket(fileno=descriptor)
    bare_environment()
    sys.set_int_max_str_digits(0)
    threading.stack_size(THREAD_STACK_BYTES)  # the default would be the main stack's size: one thread and no more
    try:
        confinement = Confinement(level)
        if with_numpy:
            importlib.import_module("numpy.random")
        for name in PRELOAD:
            importlib.import_module(name)
        preset = child.preset_globals()
        sys.path[:] = [path for path in sys.path if os.path.abspath(path) != child.PACKAGE_ROOT]
    except Exception as error:
        send_message(sock, {"ready": False, "error": f"{type(error).__name__}: {error}"})
        return
    send_message(sock, {"ready": True})
    gc.collect()
    gc.freeze()
    try:
        while serve_one(sock, confinement, preset):
            pass
    except OSError:
        pass


def serve_one(sock: socket.socket, confinement: Confinement, preset: dict[str, Any]) -> bool:
    """Run one job; False once the grader is gone."""
    data, descriptors, _, _ = socket.recv_fds(sock, 4096, 4)
    if not data:
        return False
    data = data.lstrip(STOP)  # one that came when its run had just ended
    if not data:
        return True
    limits = json.loads(data)
    pid = os.fork()
    if pid == 0:
        child.run_and_exit(descriptors, limits, confinement, preset)
    for descriptor in descriptors:
        os.close(descriptor)
    report = watch(pid, sock, limits["cpu_seconds"])
    if report is None:
        return False
    send_message(sock, report)
    return True


def watch(pid: int, sock: socket.socket, cpu_seconds: float) -> dict[str, Any] | None:
    """Wait for a child, ending it where it must be ended. None once the grader is gone."""
    started, reason = time.monotonic(), ""
    process = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(process, select.POLLIN)
    poller.register(sock, select.POLLIN)
    hung_up = False
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(LOOK_EVERY_SECONDS * 1000)}
        if process in ready:
            break
        if sock.fileno() in ready:
            hung_up = not sock.recv(1)
            reason = "stopped"
        else:
            reason = overdue(pid, time.monotonic() - started, cpu_seconds)
        if reason:
            os.kill(pid, signal.SIGKILL)
            break
    _, status, usage = os.wait4(pid, 0)
    os.close(process)
    end_group(pid)
    cpu = usage.ru_utime + usage.ru_stime
    exit_code = os.waitstatus_to_exitcode(status)
    if not reason and exit_code == -signal.SIGKILL:
        reason = "cpu limit" if cpu >= cpu_seconds - 0.5 else "killed"
    return None if hung_up else {"exit_code": exit_code, "reason": reason, "cpu_seconds": cpu}


def overdue(pid: int, wall: float, cpu_seconds: float) -> str:
    """The limit that a running child is over, or the empty string."""
    try:
        if os.stat(f"/proc/{pid}/task").st_nlink - 2 > MAX_THREADS:
            return "thread limit"
    except OSError:
        pass
    if wall > cpu_seconds * WALL_FACTOR:
        idle = process_cpu_seconds(pid) < wall * IDLE_SHARE
        if idle or wall > cpu_seconds * STARVED_FACTOR:
            return "wall limit"
    return ""


def end_group(pid: int) -> None:
    """Without confinement a program may have started others in its session."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
