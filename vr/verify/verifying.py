"""``verify``: tasks of any kind in, one verdict each out, in order."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from tqdm import tqdm

from vr.verify.pool import run_in_order
from vr.verify.registry import VERIFIERS
from vr.verify.types import Task, Verdict


def verify(
    tasks: Iterable[Task],
    *,
    kinds: Collection[str] | None = None,
    total: int | None = None,
    workers: int | None = None,
    allow_unsafe: bool = False,
    progress: bool = False,
) -> Iterator[Verdict]:
    """Judge every task and yield its verdict, in task order whatever finishes first.

    Where ``kinds`` are given, tasks are taken one by one as workers fall free, and never stand in memory together.

    kinds: the verifiers that occur among the tasks; None: found out by going through all tasks first.
    total: how many tasks there are, for the progress bar.
    workers: processes at once; None means one per core, and more than cores are not used.
    allow_unsafe: run programs even where this machine offers no isolation at all.
    progress: show a bar on stderr.

    Raises ValueError for an unknown verifier, and ``IsolationUnavailableError`` where there are programs to run
    and no way to isolate them: both before the first verdict; and ValueError at a task whose verifier is not
    among ``kinds``.
    """
    if kinds is None:
        tasks = list(tasks)
        kinds, total = {task.verifier for task in tasks}, len(tasks)
    if unknown := sorted(set(kinds) - VERIFIERS.keys()):
        raise ValueError(f"unknown verifier {unknown[0]!r}; known are {', '.join(sorted(VERIFIERS))}")
    if not kinds:
        return iter(())
    chosen = {name: VERIFIERS[name] for name in kinds}
    isolation = "none"
    if any(kind.runs_programs for kind in chosen.values()):
        from vr.verify.isolation import choose_level

        isolation = choose_level(allow_unsafe=allow_unsafe)
    n_workers = max(1, min(workers or n_cores(), n_cores()))
    verdicts = run_in_order(tasks, chosen, n_workers, isolation)
    return with_progress(verdicts, total) if progress else verdicts


def n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def with_progress(verdicts: Iterator[Verdict], total: int | None) -> Iterator[Verdict]:
    """Pass verdicts on and count them in a bar on stderr."""
    with tqdm(total=total, desc="verifying", unit="answer") as bar:
        for verdict in verdicts:
            bar.update()
            yield verdict
