"""The worker pool: tasks in, verdicts out in the order of the tasks, whatever finishes first.

Promises: a worker that outlives its limits is killed and replaced, its task is ``timeout``; one that dies (the
kernel may take any when memory runs out) is replaced and its task begun again, once, then it is ``crashed``;
neither touches another task. The pool forks nothing itself.
Does not promise: any speed-up from more workers than cores.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from vr.verify.registry import Kind
from vr.verify.types import Task, Verdict
from vr.verify.wire import receive_message, send_message

HANG_UP_SECONDS = 5.0


class Hub:
    """The caller's handle of the hub process: starts workers and reaps them."""

    def __init__(self, kinds: dict[str, Kind], isolation: str) -> None:
        self.control, theirs = socket.socketpair()
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p or os.getcwd() for p in sys.path))
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "vr.verify.hub", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        fields = {name: dataclasses.asdict(kind) for name, kind in kinds.items()}
        self.ask({"do": "configure", "kinds": fields, "isolation": isolation})

    def ask(self, command: dict[str, Any], descriptor: int | None = None) -> dict[str, Any]:
        """Send a command, and a descriptor where given, and wait for the reply.

        Raises RuntimeError where the hub is gone.
        """
        try:
            send_message(self.control, command)
            if descriptor is not None:
                socket.send_fds(self.control, [b"f"], [descriptor])
            reply: dict[str, Any] = receive_message(self.control)
        except (EOFError, OSError) as error:
            raise RuntimeError(f"the verification hub has ended (status {self.process.poll()})") from error
        return reply

    def fork_worker(self) -> Worker:
        """Start a worker and return its handle."""
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self.ask({"do": "fork"}, theirs.fileno())["pid"]
        return Worker(pid, ours)

    def end_worker(self, worker: Worker) -> int:
        """Kill a worker if it lives and return its exit status."""
        worker.jobs.close()
        return int(self.ask({"do": "reap", "pid": worker.pid})["status"])

    def close(self) -> None:
        """End the hub, and with it every worker."""
        self.control.close()
        try:
            self.process.wait(HANG_UP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclasses.dataclass
class Worker:
    """One worker and the task that it is busy with; times are readings of its clocks at the last news."""

    pid: int
    jobs: socket.socket
    index: int = -1
    task: Task | None = None
    kind: Kind | None = None
    started: float = 0.0
    wall_mark: float = 0.0
    cpu_mark: float = 0.0

    def begin(self, index: int, task: Task, kind: Kind) -> None:
        """Hand over a task. Raises OSError where the worker has died idle."""
        send_message(self.jobs, dataclasses.asdict(task))
        self.index, self.task, self.kind = index, task, kind
        self.started = time.monotonic()
        self.mark()

    def mark(self) -> None:
        """Restart the deadline."""
        self.wall_mark, self.cpu_mark = time.monotonic(), process_cpu_seconds(self.pid)

    def seconds_left(self) -> float:
        """How long the worker can go on at the earliest; zero or less when it is overdue."""
        assert self.kind is not None
        cpu_left = self.kind.cpu_seconds - (process_cpu_seconds(self.pid) - self.cpu_mark)
        wall_left = self.kind.wall_seconds - (time.monotonic() - self.wall_mark)
        return min(cpu_left, wall_left)


def process_cpu_seconds(pid: int) -> float:
    """Processor time of another process, all its threads; 0.0 where it is gone.

    The kernel's clock id of a process is made of its number: see clock_getcpuclockid(3).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def run_in_order(tasks: Iterable[Task], kinds: dict[str, Kind], workers: int, isolation: str) -> Iterator[Verdict]:
    """Judge tasks on ``workers`` processes and yield one verdict each, in task order; tasks are taken as needed.

    Raises ValueError at a task whose verifier is not in ``kinds``.
    """
    waiting = enumerate(tasks)
    again: list[tuple[int, Task]] = []  # tasks whose worker died
    deaths: set[int] = set()
    idle: list[Worker] = []
    busy: list[Worker] = []
    ready: dict[int, Verdict] = {}
    n_yielded = 0
    hub: Hub | None = None  # a Python to start: not for nothing
    try:
        while True:
            while len(busy) < workers and (item := again.pop() if again else next(waiting, None)) is not None:
                index, task = item
                if task.verifier not in kinds:
                    raise ValueError(f"task {index}: verifier {task.verifier!r} is not one of {', '.join(kinds)}")
                hub = hub or Hub(kinds, isolation)
                worker = idle.pop() if idle else hub.fork_worker()
                try:
                    worker.begin(index, task, kinds[task.verifier])
                except OSError:  # it died between two tasks: nobody's fault, and the task has not begun
                    hub.end_worker(worker)
                    again.append(item)
                    continue
                busy.append(worker)
            if not busy:
                return
            assert hub is not None
            for worker, verdict in collect(busy, hub):
                busy.remove(worker)
                if worker.pid > 0:
                    idle.append(worker)
                if verdict.outcome == "crashed" and worker.pid < 0 and worker.index not in deaths:
                    assert worker.task is not None
                    deaths.add(worker.index)
                    again.append((worker.index, worker.task))
                else:
                    ready[worker.index] = verdict
            while n_yielded in ready:
                yield ready.pop(n_yielded)
                n_yielded += 1
    finally:
        for worker in idle + busy:
            worker.jobs.close()
        if hub is not None:
            hub.close()


def collect(busy: list[Worker], hub: Hub) -> list[tuple[Worker, Verdict]]:
    """Wait for news of the busy workers; a worker that was ended has its pid set to -1."""
    patience = max(0.0, min(worker.seconds_left() for worker in busy)) + 0.001
    readable = set(select_readable([worker.jobs for worker in busy], patience))
    finished = []
    for worker in busy:
        verdict = None
        if worker.jobs in readable:
            verdict = read_news(worker, hub)
        elif worker.seconds_left() <= 0:
            wall, cpu = time.monotonic() - worker.started, process_cpu_seconds(worker.pid) - worker.cpu_mark
            limit = worker.kind.cpu_seconds if worker.kind else 0.0
            hub.end_worker(worker)
            worker.pid = -1
            verdict = Verdict("timeout", f"checker over its limit of {limit:g} s", cpu, wall, "worker")
        if verdict is not None:
            finished.append((worker, verdict))
    return finished


def select_readable(sockets: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Like select, without its bound of 1,024 descriptors."""
    poller = select.poll()
    by_descriptor = {sock.fileno(): sock for sock in sockets}
    for descriptor in by_descriptor:
        poller.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poller.poll(seconds * 1000)]


def read_news(worker: Worker, hub: Hub) -> Verdict | None:
    """A worker's message: its verdict, a sign of life (None), or its death."""
    wall = time.monotonic() - worker.started
    try:
        message = receive_message(worker.jobs)
    except (EOFError, OSError):
        status = hub.end_worker(worker)
        worker.pid = -1
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return Verdict("crashed", f"worker ended by {how}", 0.0, wall, "worker")
    if "alive" in message:
        worker.mark()
        return None
    return Verdict(**message)
