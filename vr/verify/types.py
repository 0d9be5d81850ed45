"""What goes into a verification and what comes out of it: frozen records. Nothing of how a verdict is reached."""

import math
from dataclasses import dataclass

from vr.tables.vocabulary import OUTCOMES
from vr.verify.printable import printable

ISOLATIONS = ("full", "native", "unsafe", "worker", "none")
"""How a verdict was fenced in: the level for programs; worker for what needs no sandbox; none where nothing ran."""


@dataclass(frozen=True)
class Task:
    r"""One answer to judge.

    verifier: the name of a kind: math, stdin, call, asserts, choice, reasoning_gym or none.
    answer: the solution text that the model wrote, without markers; None where it wrote none.
    reference: the reference answer, or a whole reference solution with a `\boxed{}`.
    tests: JSON text. For stdin and call `{"inputs": [...], "outputs": [...], "fn_name": "f"}` as in APPS and TACO
        (`fn_name` for call only, and `any_name` where the prompt does not tell it); for asserts
        `{"asserts": "...", "fn_name": "f"}`; for reasoning_gym `{"dataset": "...", "entry": {...}}`; for math
        None or `{"also": ["...", ...], "tolerance": 0.1}`: other references, any of which is right, and how far off a
        number may be.
    """

    verifier: str
    answer: str | None
    reference: str | None = None
    tests: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What was found out about one task. Every verdict can be stored in a table.

    outcome: one of `vr.tables.vocabulary.OUTCOMES`.
    detail: empty, or why: the first failing test, the class of an exception, the limit that was hit; printable text.
    cpu_seconds: processor time spent on the task by the worker and by the programs that it ran.
    wall_seconds: wall time from handing the task to a worker to its result.
    isolation: one of `ISOLATIONS`.
    """

    outcome: str
    detail: str
    cpu_seconds: float
    wall_seconds: float
    isolation: str

    def __post_init__(self) -> None:
        """Make the detail printable.

        Raises:
            ValueError, TypeError, AttributeError: a field is not what is said above.
        """
        object.__setattr__(self, "detail", printable(self.detail))
        for name, known in (("outcome", OUTCOMES), ("isolation", ISOLATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(known)}")
        for name in ("cpu_seconds", "wall_seconds"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} = {getattr(self, name)!r}: not a time")


@dataclass(frozen=True)
class Finding:
    """What a verifier function returns: a verdict without the times of the worker, which the worker adds.

    program_cpu_seconds: processor time of the programs that ran for the task, outside the worker.
    """

    outcome: str
    detail: str = ""
    isolation: str = "worker"
    program_cpu_seconds: float = 0.0
