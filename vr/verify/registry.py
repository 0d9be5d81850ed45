"""The one list of verifier kinds. A new kind is one function and one entry here.

A verifier is named ``"module:function"`` and imported in the worker processes alone, so that importing
``vr.verify`` loads neither sympy nor math-verify. The function takes a ``Task`` and a ``Workplace`` and
returns a ``Finding``; it may take its time and may crash: the pool holds the deadline.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from vr.verify.types import Finding, Task


@dataclass(frozen=True)
class Workplace:
    """What a verifier function finds in its worker.

    isolation: the level at which programs must run: full, native or unsafe.
    still_alive: to be called after each unit of work (one test); it restarts the deadline.
    """

    isolation: str = "none"
    still_alive: Callable[[], None] = field(default=lambda: None)


VerifierFunction = Callable[[Task, Workplace], Finding]


@dataclass(frozen=True)
class Kind:
    """One verifier kind and the limits of its worker, per task or per ``still_alive``.

    function: ``"module:function"``.
    cpu_seconds: the worker is killed once it has used this much processor time (outcome timeout).
    wall_seconds: the same for wall time: a backstop, wide enough for a busy machine.
    memory_bytes: address space of the worker.
    runs_programs: whether the level of isolation must be known before the first task.
    """

    function: str
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int = 2 << 30
    runs_programs: bool = False

    def load(self) -> VerifierFunction:
        """Import the function. Raises ImportError or AttributeError where it is missing."""
        module, name = self.function.split(":")
        function: VerifierFunction = getattr(importlib.import_module(module), name)
        return function


VERIFIERS: dict[str, Kind] = {
    "math": Kind("vr.verify.math_answers:judge_math", cpu_seconds=2.9, wall_seconds=30.0),
    "choice": Kind("vr.verify.choice:judge_choice", cpu_seconds=2.9, wall_seconds=30.0),
    "reasoning_gym": Kind("vr.verify.gym:judge_reasoning_gym", cpu_seconds=10.0, wall_seconds=30.0),
    "stdin": Kind("vr.verify.programs:judge_stdin", cpu_seconds=60.0, wall_seconds=120.0, runs_programs=True),
    "call": Kind("vr.verify.programs:judge_call", cpu_seconds=60.0, wall_seconds=120.0, runs_programs=True),
    "none": Kind("vr.verify.choice:judge_nothing", cpu_seconds=1.0, wall_seconds=9.0),
}
