"""The worker pool: takes tasks and gives verdicts in the order of the tasks, whichever finishes first.

Promises: a worker that exceeds a limit is killed and replaced; its task is wrong where the answer took too much
processor time, and has the outcome timeout where only wall time passed. A task that crashed or timed out, whose worker
died or whose verifier raised is judged once more, in a new worker: the kernel may kill any process when memory runs
out, and what an earlier task left in a worker is no fault of this one. Where the second worker ends itself by a fault
as the first did, the answer is wrong. No case affects another task. A fork server that ends is started again once. The
pool itself forks nothing.
Does not promise that more workers than cores are any faster.
"""

import select
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace

from vr.verify.pool.handles import Forkserver, ForkserverEndedError, Worker, end_overdue, read_message
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
        RuntimeError: the fork server has ended twice, or the machine has no room for another process.
    """
    pool = _Pool(tasks, kinds, workers, isolation)
    n_yielded = 0
    try:
        while pool.advance():
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
        self._waiting: list[_Numbered] = []  # the task to hand out next, and those to be judged once more
        self._repeated: dict[int, str] = {}  # tasks that are judged once more, each with the first worker's fault
        self._kinds, self._n_workers, self._isolation = kinds, n_workers, isolation
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._forkserver: Forkserver | None = None  # started with the first task: without tasks none is needed
        self._started_again = False

    def advance(self) -> bool:
        """Hand out tasks and wait until something has happened. False where all tasks are done."""
        try:
            self._hand_out_tasks()
            if not self._busy:
                return False
            self._wait_for_verdicts()
        except ForkserverEndedError:
            if self._started_again:
                raise
            self._start_again()
        return True

    def close(self) -> None:
        """End all processes."""
        for worker in self._idle + self._busy:
            worker.jobs.close()
        if self._forkserver is not None:
            self._forkserver.close()

    def _start_again(self) -> None:
        """Put back what was being judged, and let the next task start another fork server."""
        self.close()
        self._waiting += [(worker.index, worker.task) for worker in self._busy if worker.task is not None]
        self._idle, self._busy, self._forkserver = [], [], None
        self._started_again = True

    def _hand_out_tasks(self) -> None:
        """Give a task to every free worker."""
        while len(self._busy) < self._n_workers and self._task_is_waiting():
            self._begin(*self._waiting[-1])

    def _task_is_waiting(self) -> bool:
        """Whether there is another task; it is taken from the caller only now."""
        if not self._waiting and (item := next(self._tasks, None)) is not None:
            self._waiting.append(item)
        return bool(self._waiting)

    def _wait_for_verdicts(self) -> None:
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

    def _begin(self, index: int, task: Task) -> None:
        """Hand the last waiting task to a free worker; it waits on where the worker turns out to be dead."""
        if task.verifier not in self._kinds:
            raise ValueError(f"task {index}: verifier {task.verifier!r} is not one of {', '.join(self._kinds)}")
        worker = self._free_worker(new=index in self._repeated)
        try:
            worker.begin(index, task, self._kinds[task.verifier])
        except OSError:  # the worker died between two tasks; this one has not begun, so it does not count as a death
            self._started().end_worker(worker)
            return
        self._waiting.pop()
        self._busy.append(worker)

    def _free_worker(self, *, new: bool) -> Worker:
        """A worker that is idle, or a new one."""
        if self._idle and not new:
            return self._idle.pop()
        if self._idle:  # there are to be no more workers than asked for
            self._started().end_worker(self._idle.pop())
        return self._started().fork_worker()

    def _settle(self, worker: Worker, verdict: Verdict) -> None:
        """Free the worker, and keep the verdict or judge the task once more."""
        self._busy.remove(worker)
        if worker.status is None:
            self._idle.append(worker)
        failed = verdict.outcome in ("crashed", "timeout") or worker.raised
        if failed and worker.index not in self._repeated:
            assert worker.task is not None
            self._repeated[worker.index] = worker.fault()
            self._waiting.append((worker.index, worker.task))
            return
        if (fault := worker.fault()) and self._repeated.get(worker.index):
            verdict = replace(verdict, outcome="wrong", detail=f"the answer ended the checker by {fault}, twice")
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
