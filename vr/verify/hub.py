"""The hub: a small process that has loaded the verifiers and forks workers on demand.

The caller may be a large process with threads and a GPU, from which nobody should fork; the hub is started
by exec, loads what the verifiers need once, and a killed worker is replaced by a fork of some 15 ms.
A worker judges one task after another. Its deadline is held by the caller (``pool.py``), never by itself.
Everything ends when the caller's end of the control socket closes, however the caller died.
"""

from __future__ import annotations

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

PR_SET_PDEATHSIG = 1


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
        for pid in workers:
            kill_and_reap(pid)


def load_functions(kinds: dict[str, Kind]) -> dict[str, VerifierFunction]:
    """Import the verifiers ahead of the forks; one that fails to import is reported by its tasks."""
    functions = {}
    for name, kind in kinds.items():
        try:
            functions[name] = kind.load()
        except Exception:
            continue
    return functions


def kill_and_reap(pid: int) -> int:
    """Kill a worker and return its exit status: negative for the signal that ended it."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except (ProcessLookupError, ChildProcessError):
        return 0


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
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
