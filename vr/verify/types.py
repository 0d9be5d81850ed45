"""What goes into a verification and what comes out: two frozen records and the list of outcomes.

Knows nothing of how a verdict is reached, of processes or of tables.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES: tuple[str, ...] = (
    "correct",
    "wrong",
    "no_answer",
    "timeout",
    "crashed",
    "unparsable_reference",
    "not_run",
)
"""Every outcome. The last four say that nothing was learnt about the answer."""

JUDGED: frozenset[str] = frozenset({"correct", "wrong", "no_answer"})
"""The outcomes that count as judged: an accuracy is a mean over these alone."""

MAX_DETAIL_CHARACTERS = 300


@dataclass(frozen=True)
class Task:
    """One answer to judge.

    verifier: a key of ``VERIFIERS``: math, stdin, call, choice, reasoning_gym or none.
    answer: the solution text that the model wrote, markers removed; None where there was none.
    reference: the reference answer, or a whole reference solution with ``\\boxed{}``.
    tests: JSON text. For programs ``{"inputs": [...], "outputs": [...], "fn_name": "f"}`` as in APPS and
        TACO (``fn_name`` for call tests only); for reasoning_gym ``{"dataset": "...", "entry": {...}}``.
    """

    verifier: str
    answer: str | None
    reference: str | None = None
    tests: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What was found out about one task.

    outcome: one of ``OUTCOMES``.
    detail: empty, or why: the first failing test, an exception class, the limit that was hit.
    cpu_seconds: processor time spent on the task, by the worker and by the programs that it ran.
    wall_seconds: wall time from handing the task to a worker to its result.
    isolation: ``full``, ``native`` or ``unsafe`` for programs, ``worker`` for what needs no sandbox,
        ``none`` where nothing ran.
    """

    outcome: str
    detail: str
    cpu_seconds: float
    wall_seconds: float
    isolation: str


@dataclass(frozen=True)
class Finding:
    """What a verifier function returns: a verdict without the times, which the worker adds.

    program_cpu_seconds: processor time of programs that ran for the task outside the worker.
    """

    outcome: str
    detail: str = ""
    isolation: str = "worker"
    program_cpu_seconds: float = 0.0
