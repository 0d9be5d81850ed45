"""The fork server: a small process that has loaded the verifiers and forks workers on request.

The caller may be a large process with threads and a GPU, which should not fork. So the fork server is started by exec,
loads once what the verifiers need, and replaces a killed worker by a fork, which takes about 15 ms.
A worker judges one task after another. The caller holds its deadline (`pool.py`), never the worker itself.
All processes end when the caller's end of the control socket closes, however the caller ended; the workers end with
the fork server, however it ended. Only workers see tasks: no answer ever reaches the fork server.
"""

import contextlib
import ctypes
import dataclasses
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import Any, NoReturn

from vr.verify.registry import Kind, VerifierFunction, WorkerContext
from vr.verify.sandbox.confine import die_with_parent
from vr.verify.types import Finding, Task, Verdict
from vr.verify.wire import receive_message, send_message

_Workers = dict[int, int | None]
"""The workers by process number, each with its exit status, negative for a signal, or None while it lives."""
_PR_SET_CHILD_SUBREAPER = 36
_CLOSING_SECONDS = 1.0
_FORK_TRIES = 100
_FORK_PAUSE_SECONDS = 0.1
"""A machine that has no room for another process gets 10 s to find some: a program may have filled it for a moment."""


@dataclass
class _Verifiers:
    """What the workers judge with: the kinds and their functions by name, and the level of isolation."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    functions: dict[str, VerifierFunction] = field(default_factory=dict)
    isolation: str = "none"


def _serve(control: socket.socket) -> None:
    """Answer the caller's commands (configure, fork, reap) until it closes the socket."""
    workers: _Workers = {}
    verifiers = _Verifiers()
    try:
        while True:
            command = receive_message(control)
            if command["do"] == "configure":
                verifiers = _load_verifiers(command)
                send_message(control, {})
            elif command["do"] == "fork":
                send_message(control, _fork_worker(control, verifiers, workers))
            else:
                send_message(control, {"status": _kill_and_reap(command["pid"], workers)})
    except (EOFError, OSError):
        pass
    finally:
        _end_all(workers)


def _load_verifiers(command: dict[str, Any]) -> _Verifiers:
    """Import the verifiers before any fork; one that cannot be used says so in the verdict on each of its tasks."""
    kinds = {name: Kind(**fields) for name, fields in command["kinds"].items()}
    verifiers = _Verifiers(kinds, {}, command["isolation"])
    for name, kind in kinds.items():
        try:
            verifiers.functions[name] = kind.load()
            kind.run_warm_up()
        except Exception as error:
            verifiers.functions[name] = _unusable(error)
    gc.collect()
    gc.freeze()  # objects of the fork server stay in pages that all workers share
    return verifiers


def _unusable(error: Exception) -> VerifierFunction:
    """In place of a verifier that could not be loaded."""
    finding = Finding("crashed", f"the verifier cannot be used: {type(error).__name__}: {error}")
    return lambda _task, _context: finding


def _fork_worker(control: socket.socket, verifiers: _Verifiers, workers: _Workers) -> dict[str, Any]:
    """Fork a worker that takes its tasks from the descriptor that the caller sends along.

    Returns:
        The reply: the worker's `pid`, which is added to `workers`, or the `error` why there is none.
    """
    _, (jobs, *_), _, _ = socket.recv_fds(control, 1, 1)
    parent = os.getpid()
    try:
        pid = _fork()
    except OSError as error:
        os.close(jobs)
        return {"error": f"no worker can be started: {error}"}
    if pid == 0:
        control.close()
        _work_until_closed(socket.socket(fileno=jobs), verifiers, parent)
    os.close(jobs)
    workers[pid] = None
    return {"pid": pid}


def _fork() -> int:
    """As `os.fork`, with patience. Raises OSError."""
    for _ in range(_FORK_TRIES - 1):
        with contextlib.suppress(OSError):
            return os.fork()
        time.sleep(_FORK_PAUSE_SECONDS)
    return os.fork()


def _kill_and_reap(pid: int, workers: _Workers) -> int:
    """Kill a worker where it lives, forget it, and return its exit status."""
    _reap_ended(workers)
    status = workers.pop(pid)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status


def _reap_ended(workers: _Workers) -> None:
    """Reap every child that has ended: workers, and the sandboxes of killed workers, which this process inherits."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in workers:
                workers[pid] = os.waitstatus_to_exitcode(status)


def _end_all(workers: _Workers) -> None:
    """Give the workers a moment to close their sandboxes, kill those that are still busy, and wait for all children."""
    patience = time.monotonic() + _CLOSING_SECONDS
    while None in workers.values() and time.monotonic() < patience:
        _reap_ended(workers)
        time.sleep(0.01)
    for pid in list(workers):
        _kill_and_reap(pid, workers)
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < patience + _CLOSING_SECONDS:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def _work_until_closed(jobs: socket.socket, verifiers: _Verifiers, parent: int) -> NoReturn:
    """The life of a worker: read a task, judge it, send the verdict, until the caller closes the socket."""
    try:
        die_with_parent(parent)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        context = WorkerContext(verifiers.isolation, lambda: send_message(jobs, {"alive": True}))
        while True:
            task = Task(**receive_message(jobs))
            send_message(jobs, _judge(task, verifiers, context))
    except (EOFError, OSError):
        pass
    finally:
        for kind in verifiers.kinds.values():
            with contextlib.suppress(Exception):
                kind.run_clean_up()
        os._exit(0)


def _judge(task: Task, verifiers: _Verifiers, context: WorkerContext) -> dict[str, Any]:
    """The message on one task: the fields of its verdict, and whether the verifier raised.

    Limits of memory and recursion are reached by what the answer holds. Any other exception is the checker's failure.
    """
    kind = verifiers.kinds[task.verifier]
    wall_start, cpu_start = time.monotonic(), time.process_time()

    def message(finding: Finding, *, raised: bool) -> dict[str, Any]:
        cpu_seconds = time.process_time() - cpu_start + finding.program_cpu_seconds
        wall_seconds = time.monotonic() - wall_start
        verdict = Verdict(finding.outcome, finding.detail, cpu_seconds, wall_seconds, finding.isolation)
        return {"verdict": dataclasses.asdict(verdict), "raised": raised}

    try:
        _limit_address_space(kind.memory_bytes)
        return message(verifiers.functions[task.verifier](task, context), raised=False)
    except MemoryError:
        limit = f"{kind.memory_bytes / (1 << 30):g} GiB of memory"
        finding = Finding("wrong", f"the answer takes the checker over its limit of {limit}")
    except RecursionError:
        finding = Finding("wrong", "the answer takes the checker over its limit of recursion")
    except Exception as error:
        finding = Finding("crashed", f"checker: {type(error).__name__}: {error}")
    return message(finding, raised=True)


def _limit_address_space(n_bytes: int) -> None:
    """Set the soft limit only, so that a task of another kind may have a higher one."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes if hard < 0 else min(n_bytes, hard), hard))


def main() -> None:
    """Run the process. Its one argument is the descriptor of the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too, but the caller decides
    sys.set_int_max_str_digits(0)  # answers and tests may hold integers of 5,000 digits
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
