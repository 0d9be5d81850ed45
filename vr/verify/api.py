"""`verify`: takes tasks of any kind and yields one verdict for each, in order."""

import os
from collections.abc import Collection, Iterable, Iterator

from vr.verify.registry import KINDS
from vr.verify.types import Task, Verdict


def verify(
    tasks: Iterable[Task],
    *,
    kinds: Collection[str] | None = None,
    workers: int | None = None,
    allow_unsafe: bool = False,
) -> Iterator[Verdict]:
    """Judge every task and yield its verdict, in the order of the tasks.

    With `kinds`, tasks are taken one by one as workers become free, and are never in memory together.

    Args:
        tasks: the answers to judge.
        kinds: names of the kinds that occur among the tasks; None: found by reading all tasks first.
        workers: number of worker processes; None: one per core. More than there are cores are not used.
        allow_unsafe: run programs even where no level of isolation holds on this machine.

    Raises:
        ValueError: before the first verdict, an unknown kind; later, a task whose kind is not among `kinds`.
        IsolationUnavailableError: before the first verdict, there are programs to run and no way to isolate them.
        RuntimeError: later, the process that starts the workers has ended twice, or can start none.
    """
    if kinds is None:
        tasks = list(tasks)
        kinds = {task.verifier for task in tasks}
    if unknown := sorted(set(kinds) - KINDS.keys()):
        raise ValueError(f"unknown verifier {unknown[0]!r}; known are {', '.join(sorted(KINDS))}")
    if not kinds:
        return iter(())
    # Imported here because the server inside the sandbox imports this module: it must not load the pool.
    from vr.verify.pool.pool import run_in_order

    chosen = {name: KINDS[name] for name in kinds}
    isolation = "none"
    if any(kind.runs_programs for kind in chosen.values()):
        from vr.verify.sandbox.isolation import choose_level

        isolation = choose_level(allow_unsafe=allow_unsafe)
    n_workers = max(1, min(workers or n_cores(), n_cores()))
    return run_in_order(tasks, chosen, n_workers, isolation)


def n_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
