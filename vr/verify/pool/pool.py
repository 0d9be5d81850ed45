"""The worker pool: takes tasks and gives verdicts in the order of the tasks, whichever finishes first.

Promises: a worker that exceeds its limits is killed and replaced, and its task gets the outcome timeout. A worker that
dies is replaced, and its task is judged once more (the kernel may kill any process when memory runs out); if the second
worker dies too, the outcome is crashed. Neither case affects another task. The pool itself forks nothing.
Does not promise that more workers than cores are any faster.
"""

import select
import socket
from collections.abc import Iterable, Iterator

from vr.verify.pool.handles import Forkserver, Worker, end_overdue, read_message
from vr.verify.registry import Kind
from vr.verify.types import Task, Verdict

_Numbered = tuple[int, Task]


def run_in_order(tasks: Iterable[Task], kinds: dict[str, Kind], workers: int, isolation: str) -> Iterator[Verdict]:
    """Judge tasks on worker processes and yield one verdict for each, in the order of the tasks.

    A task is taken only when a worker is free for it.

    Args:
        tasks: the tasks.
        kinds: the kinds that may occur among them, by name.
        workers: number of worker processes.
        isolation: the level at which programs run.

    Raises:
        ValueError: at a task whose kind is not in `kinds`.
        RuntimeError: the fork server has ended.
    """
    pool = _Pool(tasks, kinds, workers, isolation)
    n_yielded = 0
    try:
        while pool.hand_out_tasks():
            pool.wait_for_verdicts()
            while n_yielded in pool.verdicts:
                yield pool.verdicts.pop(n_yielded)
                n_yielded += 1
    finally:
        pool.close()


class _Pool:
    """The workers, the tasks that wait for one, and the verdicts that wait for their turn (by index of the task)."""

    def __init__(self, tasks: Iterable[Task], kinds: dict[str, Kind], n_workers: int, isolation: str) -> None:
        self.verdicts: dict[int, Verdict] = {}
        self._tasks: Iterator[_Numbered] = enumerate(tasks)
        self._repeated: list[_Numbered] = []  # tasks whose worker died
        self._died_once: set[int] = set()
        self._kinds, self._n_workers, self._isolation = kinds, n_workers, isolation
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._forkserver: Forkserver | None = None  # started with the first task: without tasks none is needed

    def hand_out_tasks(self) -> bool:
        """Give a task to every free worker. False where no worker is busy afterwards: all tasks are done."""
        while len(self._busy) < self._n_workers and (item := self._next_task()) is not None:
            self._begin(*item)
        return bool(self._busy)

    def wait_for_verdicts(self) -> None:
        """Wait until a worker has sent something or is over a limit, and deal with it."""
        forkserver = self._started()
        patience = max(0.0, min(worker.seconds_left() for worker in self._busy)) + 0.001
        readable = _readable([worker.jobs for worker in self._busy], patience)
        for worker in list(self._busy):
            verdict = None
            if worker.jobs in readable:
                verdict = read_message(worker, forkserver)
            elif worker.seconds_left() <= 0:
                verdict = end_overdue(worker, forkserver)
            if verdict is not None:
                self._settle(worker, verdict)

    def close(self) -> None:
        """End all processes."""
        for worker in self._idle + self._busy:
            worker.jobs.close()
        if self._forkserver is not None:
            self._forkserver.close()

    def _next_task(self) -> _Numbered | None:
        return self._repeated.pop() if self._repeated else next(self._tasks, None)

    def _begin(self, index: int, task: Task) -> None:
        """Hand a task to a free worker; a task whose worker turns out to be dead is put back."""
        if task.verifier not in self._kinds:
            raise ValueError(f"task {index}: verifier {task.verifier!r} is not one of {', '.join(self._kinds)}")
        worker = self._idle.pop() if self._idle else self._started().fork_worker()
        try:
            worker.begin(index, task, self._kinds[task.verifier])
        except OSError:  # the worker died between two tasks; this one has not begun, so it does not count as a death
            self._started().end_worker(worker)
            self._repeated.append((index, task))
            return
        self._busy.append(worker)

    def _settle(self, worker: Worker, verdict: Verdict) -> None:
        """Free the worker, and keep the verdict or, at the first death of its worker, repeat the task."""
        self._busy.remove(worker)
        if not worker.ended:
            self._idle.append(worker)
        if worker.ended and verdict.outcome == "crashed" and worker.index not in self._died_once:
            assert worker.task is not None
            self._died_once.add(worker.index)
            self._repeated.append((worker.index, worker.task))
        else:
            self.verdicts[worker.index] = verdict

    def _started(self) -> Forkserver:
        if self._forkserver is None:
            self._forkserver = Forkserver(self._kinds, self._isolation)
        return self._forkserver


def _readable(sockets: list[socket.socket], seconds: float) -> set[socket.socket]:
    """The sockets that have something to read; like `select`, without its bound of 1,024 descriptors."""
    poller = select.poll()
    by_descriptor = {sock.fileno(): sock for sock in sockets}
    for descriptor in by_descriptor:
        poller.register(descriptor, select.POLLIN)
    return {by_descriptor[descriptor] for descriptor, _ in poller.poll(seconds * 1000)}
