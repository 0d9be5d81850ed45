"""``verify``: tasks of any kind in, one verdict each out, in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from vr.verify.pool import run_in_order
from vr.verify.registry import VERIFIERS
from vr.verify.types import Task, Verdict

PROGRESS_EVERY = 200


def verify(
    tasks: Sequence[Task], *, workers: int | None = None, allow_unsafe: bool = False, progress: bool = False
) -> Iterator[Verdict]:
    """Judge every task and yield its verdict, in task order whatever finishes first.

    workers: processes at once; None means one per core, and more than cores are not used.
    allow_unsafe: run programs even where this machine offers no isolation at all.
    progress: count on stderr.

    Raises ValueError for a task whose verifier is unknown, and ``IsolationUnavailableError`` where there are
    programs to run and no way to isolate them: both before the first verdict.
    """
    unknown = sorted({task.verifier for task in tasks} - VERIFIERS.keys())
    if unknown:
        raise ValueError(f"unknown verifier {unknown[0]!r}; known are {', '.join(sorted(VERIFIERS))}")
    if not tasks:
        return iter(())
    kinds = {name: VERIFIERS[name] for name in {task.verifier for task in tasks}}
    isolation = "none"
    if any(kind.runs_programs for kind in kinds.values()):
        from vr.verify.isolation import choose_level

        isolation = choose_level(allow_unsafe=allow_unsafe)
    n_workers = max(1, min(workers or n_cores(), n_cores(), len(tasks)))
    verdicts = run_in_order(tasks, kinds, n_workers, isolation)
    return with_progress(verdicts, len(tasks)) if progress else verdicts


def n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def with_progress(verdicts: Iterator[Verdict], n_tasks: int) -> Iterator[Verdict]:
    """Pass verdicts on and count them on stderr."""
    for n_done, verdict in enumerate(verdicts, start=1):
        if n_done % PROGRESS_EVERY == 0 or n_done == n_tasks:
            print(f"\rverified {n_done} of {n_tasks}", end="", file=sys.stderr, flush=True)
        yield verdict
    print(file=sys.stderr)
