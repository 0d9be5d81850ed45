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


@dataclasses.dataclass
class Worker:
    """One worker and the task that it is busy with.

    started: when the task was handed over (monotonic clock, seconds).
    wall_mark, cpu_mark: readings of the monotonic clock and of the worker's processor time, both in seconds, from which
        its limits count: taken at the start of the task and at each heartbeat.
    ended: whether the process was killed or has died.
    """

    pid: int
    jobs: socket.socket
    index: int = -1
    task: Task | None = None
    kind: Kind | None = None
    started: float = 0.0
    wall_mark: float = 0.0
    cpu_mark: float = 0.0
    ended: bool = False

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
        cpu_left = self.kind.cpu_seconds - (process_cpu_seconds(self.pid) - self.cpu_mark)
        wall_left = self.kind.wall_seconds - (time.monotonic() - self.wall_mark)
        return min(cpu_left, wall_left)


class Forkserver:
    """The caller's handle of the fork server process: it forks workers and reaps them."""

    def __init__(self, kinds: dict[str, Kind], isolation: str) -> None:
        """Start the process and load the verifiers in it.

        Raises:
            RuntimeError: the process ended.
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
        self._ask({"do": "configure", "kinds": fields, "isolation": isolation})

    def fork_worker(self) -> Worker:
        """Start a worker.

        Raises:
            RuntimeError: the fork server has ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._ask({"do": "fork"}, theirs.fileno())["pid"]
        return Worker(pid, ours)

    def end_worker(self, worker: Worker) -> int:
        """Kill a worker if it lives, mark it as ended, and return its exit status: negative for a signal.

        Raises:
            RuntimeError: the fork server has ended.
        """
        worker.jobs.close()
        worker.ended = True
        return int(self._ask({"do": "reap", "pid": worker.pid})["status"])

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
            raise RuntimeError(f"the verification forkserver has ended (status {self.process.poll()})") from error
        return reply


def _environment() -> dict[str, str]:
    """The caller's environment, the import path included, with one thread for numerical libraries."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
    return environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def read_message(worker: Worker, forkserver: Forkserver) -> Verdict | None:
    """Read what a worker has sent: its verdict, or a heartbeat (None). A dead worker gives the verdict `crashed`."""
    wall = time.monotonic() - worker.started
    try:
        message = receive_message(worker.jobs)
    except (EOFError, OSError):
        status = forkserver.end_worker(worker)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return Verdict("crashed", f"worker ended by {how}", 0.0, wall, "worker")
    if "alive" in message:
        worker.restart_deadline()
        return None
    return Verdict(**message)


def end_overdue(worker: Worker, forkserver: Forkserver) -> Verdict:
    """Kill a worker that is over a limit; the verdict on its task."""
    assert worker.kind is not None
    wall = time.monotonic() - worker.started
    cpu = process_cpu_seconds(worker.pid) - worker.cpu_mark
    forkserver.end_worker(worker)
    return Verdict("timeout", f"checker over its limit of {worker.kind.cpu_seconds:g} s", cpu, wall, "worker")
