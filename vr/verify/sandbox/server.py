"""The fork server inside the sandbox: one warm interpreter, one fork for each run of a program.

It holds no code, no input and no expected output: the forked child reads its job from a descriptor of its own. The
server measures processor time, enforces the wall-time backstop and the bound on threads, and reports.
It ends when the grader closes its end of the socket.
Runs inside the sandbox: standard library only, and the modules that the grader wants preloaded.

`sandbox.py` starts it with the arguments LEVEL DESCRIPTOR [MODULE ...].
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import sysconfig
import threading
import time
from typing import Any

from vr.verify.cpu_clock import process_cpu_seconds
from vr.verify.sandbox import child
from vr.verify.sandbox.confine import Confinement, bare_environment
from vr.verify.sandbox.prelude import preset_globals
from vr.verify.wire import send_message

STOP = b"s"
"""The grader sends it to end the current run."""
STARVED_FACTOR = 25.0
"""Wall time allowed per second of processor time for a program that uses the processor but must share it."""

_IDLE_FACTOR = 3.0
"""The same for a program that does not use the processor."""
_IDLE_SHARE = 0.02
"""A program that uses less than this share of the wall time does not use the processor."""
_CPU_LIMIT_SHARE = 0.5
"""A program killed by SIGKILL after this share of its processor time was killed by the limit, which the kernel counts
in ticks: on a busy virtual machine it strikes early."""
_LOOK_EVERY_SECONDS = 0.05
_MAX_THREADS = 128
_THREAD_STACK_BYTES = 16 << 20
_PRELOAD = (
    *("array", "cmath", "concurrent.futures", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("io", "json", "numbers", "pprint", "queue", "statistics", "textwrap", "tokenize", "traceback", "types"),
)
"""What programs often import: loaded here once instead of in every run."""


def main() -> None:
    """Serve until the grader closes the socket."""
    level, descriptor, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    sock = socket.socket(fileno=descriptor)
    bare_environment()
    sys.set_int_max_str_digits(0)
    threading.stack_size(_THREAD_STACK_BYTES)  # with the default, the main stack's size, there is room for one thread
    try:
        confinement = Confinement(level)
        preset = _preload(wanted)
    except Exception as error:
        send_message(sock, {"ready": False, "error": f"{type(error).__name__}: {error}"})
        return
    send_message(sock, {"ready": True})
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError):
        while _serve_one(sock, confinement, preset):
            pass


def _preload(wanted: list[str]) -> dict[str, Any]:
    """Import what programs need, hide this checkout, and return the globals that programs start with.

    Raises:
        ImportError: a module that is wanted cannot be imported; names it.
    """
    for name in (*_PRELOAD, *wanted):
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ImportError(f"cannot preload {name}: {error}") from error
    preset = preset_globals()
    sys.path[:] = _without_checkout(sys.path)
    return preset


def _without_checkout(paths: list[str]) -> list[str]:
    """The import path without the folder that holds this package, unless all installed packages are in it too."""
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    return [path for path in paths if os.path.abspath(path) != child.PACKAGE_ROOT or path in installed]


def _serve_one(sock: socket.socket, confinement: Confinement, preset: dict[str, Any]) -> bool:
    """Run one job; False where the grader is gone."""
    data, descriptors, _, _ = socket.recv_fds(sock, 4096, 4)
    if not data:
        return False
    data = data.lstrip(STOP)  # a stop may arrive after its run has ended
    if not data:
        return True
    limits = json.loads(data)
    pid = os.fork()
    if pid == 0:
        child.run_and_exit(descriptors, limits, confinement, preset)
    for descriptor in descriptors:
        os.close(descriptor)
    report = _watch(pid, sock, limits["cpu_seconds"])
    if report is None:
        return False
    send_message(sock, report)
    return True


def _watch(pid: int, sock: socket.socket, cpu_seconds: float) -> dict[str, Any] | None:
    """Wait for a child and kill it where it exceeds a limit or the grader says so. None where the grader is gone."""
    started, reason = time.monotonic(), ""
    process = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(process, select.POLLIN)
    poller.register(sock, select.POLLIN)
    hung_up = False
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(_LOOK_EVERY_SECONDS * 1000)}
        if process in ready:
            break
        if sock.fileno() in ready:
            hung_up = not sock.recv(1)
            reason = "stopped"
        else:
            reason = _exceeded_limit(pid, time.monotonic() - started, cpu_seconds)
        if reason:
            os.kill(pid, signal.SIGKILL)
            break
    _, status, usage = os.wait4(pid, 0)
    os.close(process)
    _end_group(pid)
    cpu = usage.ru_utime + usage.ru_stime
    exit_code = os.waitstatus_to_exitcode(status)
    if not reason and exit_code == -signal.SIGKILL:
        reason = "cpu limit" if cpu >= cpu_seconds * _CPU_LIMIT_SHARE else "killed"
    return None if hung_up else {"exit_code": exit_code, "reason": reason, "cpu_seconds": cpu}


def _exceeded_limit(pid: int, wall_seconds: float, cpu_seconds: float) -> str:
    """The limit that a running child exceeds, or the empty string. The kernel enforces that of processor time."""
    try:
        if os.stat(f"/proc/{pid}/task").st_nlink - 2 > _MAX_THREADS:
            return "thread limit"
    except OSError:
        pass
    if wall_seconds > cpu_seconds * _IDLE_FACTOR:
        idle = process_cpu_seconds(pid) < wall_seconds * _IDLE_SHARE
        if idle or wall_seconds > cpu_seconds * STARVED_FACTOR:
            return "wall limit"
    return ""


def _end_group(pid: int) -> None:
    """Kill what a program without confinement may have started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
