"""reasoning_gym: its own scorer decides. Tests: ``{"dataset": "chain_sum", "entry": {...}}``.

An answer is correct where the scorer gives the full 1.0; partial credit is not a correct answer.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import reasoning_gym

from vr.verify.extract import final_answer
from vr.verify.registry import Workplace
from vr.verify.types import Finding, Task

FULL_SCORE = 0.999


@functools.cache
def scorer(dataset: str) -> Callable[..., float]:
    """The scorer of a data set. Raises ValueError where it is unknown."""
    function: Callable[..., float] = reasoning_gym.get_score_answer_fn(dataset)
    return function


def judge_reasoning_gym(task: Task, _workplace: Workplace) -> Finding:
    """Score the boxed answer, or the whole text where there is no box."""
    try:
        tests: dict[str, Any] = json.loads(task.tests or "")
        entry, score = tests["entry"], scorer(tests["dataset"])
    except (ValueError, KeyError, TypeError) as error:
        return Finding("unparsable_reference", f"{type(error).__name__}: {error}")
    if not isinstance(entry, dict) or "answer" not in entry:
        return Finding("unparsable_reference", "entry has no answer")
    solution = task.answer or ""
    answer = final_answer(solution) or solution.strip()
    if not answer:
        return Finding("no_answer")
    points = float(score(answer=answer, entry=entry))
    return Finding("correct" if points >= FULL_SCORE else "wrong", f"score {points:.3g}")
