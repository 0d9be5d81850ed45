"""The fork server inside the sandbox: one warm interpreter, one fork for each run of a program.

It holds no code, no input and no expected output: the forked child reads its job from a descriptor of its own. The
server watches its limits, ends it where it exceeds one, and reports.
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

from vr.verify.sandbox import child
from vr.verify.sandbox.confine import Confinement, bare_environment
from vr.verify.sandbox.limits import Limits
from vr.verify.sandbox.prelude import preset_globals
from vr.verify.wire import send_message

STOP = b"s"
"""The grader sends it to end the current run."""
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
    ours, theirs = socket.socketpair()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        child.run_and_exit(server, [*descriptors, theirs.fileno()], limits, confinement, preset)
    theirs.close()
    for descriptor in descriptors:
        os.close(descriptor)
    started, listener = _wait_for_start(ours)
    report = _watch(pid, sock, listener, limits["cpu_seconds"])
    if listener >= 0:
        os.close(listener)
    send_message(sock, {"started": started, **report})
    return True


def _wait_for_start(ours: socket.socket) -> tuple[bool, int]:
    """Wait until a child is confined or dead: whether it is confined, and the descriptor that threads ask, or -1."""
    listener = -1
    with ours:
        while True:
            data, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
            listener = descriptors[0] if descriptors else listener
            if data.endswith(child.READY) or not data:
                return bool(data), listener


def _watch(pid: int, sock: socket.socket, listener: int, cpu_seconds: float) -> dict[str, Any]:
    """Wait for the end of a child, bring it about where it must be, and report how the run went."""
    reason = _reason_to_end(pid, sock, listener, Limits(pid, cpu_seconds))
    if reason:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    _end_group(pid)
    cpu = usage.ru_utime + usage.ru_stime
    exit_code = os.waitstatus_to_exitcode(status)
    if not reason and cpu >= cpu_seconds:
        reason = "cpu limit"
    elif not reason and exit_code == -signal.SIGKILL:
        reason = "killed"
    return {"exit_code": exit_code, "reason": reason, "cpu_seconds": cpu}


def _reason_to_end(pid: int, sock: socket.socket, listener: int, limits: Limits) -> str:
    """Wait until a child ends by itself (the empty string), exceeds a limit, or the grader wants no more or is gone."""
    reason, poller, process = "", select.poll(), os.pidfd_open(pid)
    for descriptor in (process, sock.fileno(), *((listener,) if listener >= 0 else ())):
        poller.register(descriptor, select.POLLIN)
    while not reason:
        ready = dict(poller.poll(max(0.0, limits.next_look - time.monotonic()) * 1000))
        if process in ready:
            break
        if sock.fileno() in ready:
            sock.recv(1)
            reason = "stopped"
        elif ready.get(listener, 0) & select.POLLIN:
            reason = limits.refused_thread(listener)
        elif listener in ready:  # no thread is left that could ask
            poller.unregister(listener)
        reason = reason or limits.exceeded()
    os.close(process)
    return reason


def _end_group(pid: int) -> None:
    """Kill what a program without confinement may have started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
