"""The verifier kinds: one table of kinds, and what the function of a kind is given. To add a kind, add one function
and one entry of `KINDS`.

A kind names its functions as `"module:function"`. They are imported in the worker processes only, so importing
`vr.verify` loads neither sympy nor math-verify. The names of the kinds are those of `vr.tables.vocabulary.VERIFIERS`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vr.verify.types import Finding, Task


@dataclass(frozen=True)
class WorkerContext:
    """What a verifier function knows of the worker that it runs in.

    isolation: the level at which programs must run: full, native or unsafe; none for kinds that run no programs.
    heartbeat: restarts the worker's deadline; to be called after each unit of work, such as one test of a program.
    """

    isolation: str = "none"
    heartbeat: Callable[[], None] = field(default=lambda: None)


VerifierFunction = Callable[[Task, WorkerContext], Finding]
"""Judges one task. It may take long and it may crash: the pool holds the deadline and replaces the worker.

MemoryError and RecursionError are taken for the answer's doing (wrong), any other exception for the checker's own
failure (crashed). So what an answer can cause in other people's code must be caught.
"""


@dataclass(frozen=True)
class Kind:
    """One verifier kind, and the limits of its worker for one task or from one heartbeat to the next.

    function: the verifier function, as `"module:function"`.
    cpu_seconds: processor time after which the worker is killed (outcome wrong).
    wall_seconds: wall time after which the worker is killed (outcome timeout); wide enough for a busy machine.
    memory_bytes: address space of the worker.
    runs_programs: whether the kind runs programs, so that the level of isolation must be known before the first task.
    warm_up: a function without arguments, as `"module:function"`, that runs once before the workers are forked.
    clean_up: the same, run in each worker when it ends in good order.
    """

    function: str
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int = 2 << 30
    runs_programs: bool = False
    warm_up: str | None = None
    clean_up: str | None = None

    def load(self) -> VerifierFunction:
        """Import the verifier function.

        Raises:
            ImportError: the module is missing, or something that it imports.
            AttributeError: the module has no such function.
        """
        function: VerifierFunction = _load(self.function)
        return function

    def run_warm_up(self) -> None:
        """Run the hook `warm_up` where there is one. Raises whatever it raises."""
        if self.warm_up is not None:
            _load(self.warm_up)()

    def run_clean_up(self) -> None:
        """Run the hook `clean_up` where there is one. Raises whatever it raises."""
        if self.clean_up is not None:
            _load(self.clean_up)()


def _load(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def _program_kind(function: str) -> Kind:
    """A kind whose answers, or whose scorers, run in the sandbox."""
    return Kind(
        function,
        cpu_seconds=60.0,
        wall_seconds=120.0,
        runs_programs=True,
        clean_up="vr.verify.programs.grading:close_sandboxes",
    )


KINDS: dict[str, Kind] = {
    "math": Kind(
        "vr.verify.math.answers:judge_math",
        cpu_seconds=2.9,
        wall_seconds=30.0,
        warm_up="vr.verify.math.sympy_bridge:warm_up",
    ),
    "stdin": _program_kind("vr.verify.programs.grading:judge_stdin"),
    "call": _program_kind("vr.verify.programs.grading:judge_call"),
    "asserts": _program_kind("vr.verify.programs.asserts:judge_asserts"),
    "choice": Kind("vr.verify.choice:judge_choice", cpu_seconds=2.9, wall_seconds=30.0),
    "reasoning_gym": _program_kind("vr.verify.gym.judge:judge_reasoning_gym"),
    "none": Kind("vr.verify.choice:judge_nothing", cpu_seconds=1.0, wall_seconds=9.0),
}
"""The kinds by name."""
