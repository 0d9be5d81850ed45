"""The caller's handles of the processes of the pool: the fork server, and the workers that it forks."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from vr.verify.cpu_clock import process_cpu_seconds
from vr.verify.registry import Kind
from vr.verify.types import Task, Verdict
from vr.verify.wire import receive_message, send_message

_HANG_UP_SECONDS = 5.0
_FAULTS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
"""Signals that end a process for what it does itself. Any other comes from outside."""


class ForkserverEndedError(RuntimeError):
    """The fork server has ended, and the workers with it."""


@dataclasses.dataclass
class Worker:
    """One worker and the task that it is busy with.

    started: when the task was handed over (monotonic clock, seconds).
    wall_mark, cpu_mark: readings of the monotonic clock and of the worker's processor time, both in seconds, from which
        its limits count: taken at the start of the task and at each heartbeat.
    raised: whether the verifier raised on the task.
    status: exit status of the process, negative for a signal; None while it lives.
    """

    pid: int
    jobs: socket.socket
    index: int = -1
    task: Task | None = None
    kind: Kind | None = None
    started: float = 0.0
    wall_mark: float = 0.0
    cpu_mark: float = 0.0
    raised: bool = False
    status: int | None = None

    def begin(self, index: int, task: Task, kind: Kind) -> None:
        """Hand over a task.

        Raises:
            OSError: the worker died while it was idle.
        """
        send_message(self.jobs, dataclasses.asdict(task))
        self.index, self.task, self.kind = index, task, kind
        self.started = time.monotonic()
        self.restart_deadline()

    def restart_deadline(self) -> None:
        """Count the limits from now on."""
        self.wall_mark, self.cpu_mark = time.monotonic(), process_cpu_seconds(self.pid)

    def seconds_left(self) -> float:
        """The time until the worker can be over a limit at the earliest; 0 or less: it is over one."""
        assert self.kind is not None
        wall_left = self.kind.wall_seconds - (time.monotonic() - self.wall_mark)
        return min(self.cpu_seconds_left(), wall_left)

    def cpu_seconds_left(self) -> float:
        """The processor time that the worker may still use."""
        assert self.kind is not None
        return self.kind.cpu_seconds - (process_cpu_seconds(self.pid) - self.cpu_mark)

    def fault(self) -> str:
        """The name of the signal by which the worker ended itself; empty where it lives or ended otherwise."""
        return next((fault.name for fault in _FAULTS if self.status == -fault), "")


class Forkserver:
    """The caller's handle of the fork server process: it forks workers and reaps them."""

    def __init__(self, kinds: dict[str, Kind], isolation: str) -> None:
        """Start the process and load the verifiers in it.

        Raises:
            ForkserverEndedError: the process ended.
        """
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "vr.verify.pool.forkserver", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        fields = {name: dataclasses.asdict(kind) for name, kind in kinds.items()}
        try:
            self._ask({"do": "configure", "kinds": fields, "isolation": isolation})
        except ForkserverEndedError:
            self.close()
            raise

    def fork_worker(self) -> Worker:
        """Start a worker.

        Raises:
            ForkserverEndedError: the fork server has ended.
            RuntimeError: the machine has no room for another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reply = self._ask({"do": "fork"}, theirs.fileno())
        if "error" in reply:
            raise RuntimeError(f"verification: {reply['error']}")
        return Worker(reply["pid"], ours)

    def end_worker(self, worker: Worker) -> None:
        """Kill a worker if it lives, and note its exit status.

        Raises:
            ForkserverEndedError: the fork server has ended.
        """
        worker.jobs.close()
        worker.status = self._ask({"do": "reap", "pid": worker.pid})["status"]

    def close(self) -> None:
        """End the fork server and with it every worker."""
        self._control.close()
        try:
            self.process.wait(_HANG_UP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, command: dict[str, Any], descriptor: int | None = None) -> dict[str, Any]:
        """Send a command, and a descriptor where one is given, and wait for the reply."""
        try:
            send_message(self._control, command)
            if descriptor is not None:
                socket.send_fds(self._control, [b"f"], [descriptor])
            reply: dict[str, Any] = receive_message(self._control)
        except (EOFError, OSError) as error:
            status = self.process.poll()
            raise ForkserverEndedError(f"the verification forkserver has ended (status {status})") from error
        return reply


def _environment() -> dict[str, str]:
    """The caller's environment, the import path included, with one thread for numerical libraries."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
    return environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def read_message(worker: Worker, forkserver: Forkserver) -> Verdict | None:
    """Read what a worker has sent: its verdict, or a heartbeat (None).

    A worker that has died, or says what no worker says, gives the verdict `crashed`. It and a worker whose verifier
    raised are ended: what they have in memory may be half done.
    """
    wall = time.monotonic() - worker.started
    try:
        message = receive_message(worker.jobs)
        if "alive" in message:
            worker.restart_deadline()
            return None
        verdict, worker.raised = Verdict(**message["verdict"]), message["raised"]
    except (EOFError, OSError):
        forkserver.end_worker(worker)
        return Verdict("crashed", f"worker ended by {_ending(worker.status)}", 0.0, wall, "worker")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        forkserver.end_worker(worker)
        return Verdict("crashed", f"the worker sent no verdict: {type(error).__name__}: {error}", 0.0, wall, "worker")
    if worker.raised:
        forkserver.end_worker(worker)
    return verdict


def _ending(status: int | None) -> str:
    """A process's end in words."""
    if status is None or status >= 0:
        return f"status {status}"
    return signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"


def end_overdue(worker: Worker, forkserver: Forkserver) -> Verdict:
    """Kill a worker that is over a limit; the verdict on its task.

    The processor time is what the answer costs: `wrong`. The wall time passes on a machine that has none to give, which
    is no fault of the answer: `timeout`.
    """
    assert worker.kind is not None
    wall = time.monotonic() - worker.started
    cpu = max(0.0, process_cpu_seconds(worker.pid) - worker.cpu_mark)
    if worker.cpu_seconds_left() <= 0:
        limit = f"{worker.kind.cpu_seconds:g} s of processor time"
        verdict = Verdict("wrong", f"the answer takes the checker over its limit of {limit}", cpu, wall, "worker")
    else:
        limit = f"{worker.kind.wall_seconds:g} s of wall time"
        verdict = Verdict("timeout", f"the checker is over its limit of {limit}", cpu, wall, "worker")
    forkserver.end_worker(worker)
    return verdict
