"""The hub: a small process that has loaded the verifiers and forks workers on demand.

The caller may be a large process with threads and a GPU, from which nobody should fork; the hub is started
by exec, loads what the verifiers need once, and a killed worker is replaced by a fork of some 15 ms.
A worker judges one task after another. Its deadline is held by the caller (``pool.py``), never by itself.
Everything ends when the caller's end of the control socket closes, however the caller died.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
import warnings
from typing import Any, NoReturn

from vr.verify.registry import Kind, VerifierFunction, Workplace
from vr.verify.types import MAX_DETAIL_CHARACTERS, Finding, Task
from vr.verify.wire import receive_message, send_message

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLOSING_SECONDS = 1.0


def serve(control: socket.socket) -> None:
    """Answer the caller's commands until it goes away: configure, fork, reap."""
    workers: set[int] = set()
    kinds: dict[str, Kind] = {}
    functions: dict[str, VerifierFunction] = {}
    isolation = "none"
    try:
        while True:
            command = receive_message(control)
            if command["do"] == "configure":
                kinds = {name: Kind(**fields) for name, fields in command["kinds"].items()}
                isolation = command["isolation"]
                functions = load_functions(kinds)
                gc.collect()
                gc.freeze()
                send_message(control, {"loaded": sorted(functions)})
            elif command["do"] == "fork":
                _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
                pid = os.fork()
                if pid == 0:
                    control.close()
                    work_until_closed(socket.socket(fileno=descriptors[0]), kinds, functions, isolation)
                os.close(descriptors[0])
                workers.add(pid)
                send_message(control, {"pid": pid})
            else:
                workers.discard(command["pid"])
                send_message(control, {"status": kill_and_reap(command["pid"])})
    except (EOFError, OSError):
        pass
    finally:
        end_all(workers)


def load_functions(kinds: dict[str, Kind]) -> dict[str, VerifierFunction]:
    """Import the verifiers ahead of the forks; one that fails to import is reported by its tasks.

    A module with a function ``warm_up`` has it called.
    """
    functions = {}
    for name, kind in kinds.items():
        with contextlib.suppress(Exception):
            functions[name] = kind.load()
            getattr(sys.modules[functions[name].__module__], "warm_up", lambda: None)()
    return functions


ended: dict[int, int] = {}
"""Exit status of children that were reaped while another was waited for."""


def kill_and_reap(pid: int) -> int:
    """Kill a worker and return its exit status: negative for the signal that ended it."""
    reap_strays()
    if pid not in ended:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            ended[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ended.pop(pid, 0)


def reap_strays() -> None:
    """Collect what has ended: workers, and the sandboxes of killed workers, which come to the hub."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            ended[pid] = os.waitstatus_to_exitcode(status)


def end_all(workers: set[int]) -> None:
    """Give the workers a moment to close their sandboxes, end those that are busy, leave nobody behind."""
    patience = time.monotonic() + CLOSING_SECONDS
    while time.monotonic() < patience:
        reap_strays()
        if workers <= ended.keys():
            break
        time.sleep(0.01)
    for pid in workers - ended.keys():
        kill_and_reap(pid)
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < patience + CLOSING_SECONDS:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def work_until_closed(
    jobs: socket.socket, kinds: dict[str, Kind], functions: dict[str, VerifierFunction], isolation: str
) -> NoReturn:
    """The life of a worker: read a task, judge it, send the finding, until the caller closes."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        workplace = Workplace(isolation, lambda: send_message(jobs, {"alive": True}))
        while True:
            task = Task(**receive_message(jobs))
            send_message(jobs, judge(task, kinds, functions, workplace))
    except (EOFError, OSError):
        pass
    finally:
        if "vr.verify.programs" in sys.modules:
            sys.modules["vr.verify.programs"].close_sandboxes()
        os._exit(0)


def judge(
    task: Task, kinds: dict[str, Kind], functions: dict[str, VerifierFunction], workplace: Workplace
) -> dict[str, Any]:
    """Judge one task; whatever the verifier raises becomes the outcome ``crashed``."""
    wall_start, cpu_start = time.monotonic(), time.process_time()
    try:
        kind = kinds[task.verifier]
        limit_address_space(kind.memory_bytes)
        finding = (functions.get(task.verifier) or kind.load())(task, workplace)
    except MemoryError:
        finding = Finding("crashed", "checker: memory limit")
    except Exception as error:
        finding = Finding("crashed", f"checker: {type(error).__name__}: {error}")
    return {
        "outcome": finding.outcome,
        "detail": finding.detail[:MAX_DETAIL_CHARACTERS],
        "cpu_seconds": time.process_time() - cpu_start + finding.program_cpu_seconds,
        "wall_seconds": time.monotonic() - wall_start,
        "isolation": finding.isolation,
    }


def limit_address_space(n_bytes: int) -> None:
    """Lower the soft limit alone, so that the next kind may have another."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes if hard < 0 else min(n_bytes, hard), hard))


def main() -> None:
    """Entry point of the process: the control socket's descriptor is the one argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides; Ctrl-C reaches it too
    sys.set_int_max_str_digits(0)  # answers and tests may hold integers of 5,000 digits
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
