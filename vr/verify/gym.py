"""Tasks of reasoning_gym, judged by its own scorer. Their tests are `{"dataset": "chain_sum", "entry": {...}}`.

An answer is correct where the scorer gives the full score; partial credit does not make an answer correct.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

import reasoning_gym

from vr.verify.extract import final_answer
from vr.verify.registry import WorkerContext
from vr.verify.types import Finding, Task

_FULL_SCORE = 0.999


def judge_reasoning_gym(task: Task, _context: WorkerContext) -> Finding:
    """Score the boxed answer, or the whole text where there is no box."""
    try:
        tests: dict[str, Any] = json.loads(task.tests or "")
        entry, score = tests["entry"], _scorer(tests["dataset"])
    except (ValueError, KeyError, TypeError) as error:
        return Finding("unparsable_reference", f"{type(error).__name__}: {error}")
    if not isinstance(entry, dict) or "answer" not in entry:
        return Finding("unparsable_reference", "entry has no answer")
    solution = task.answer or ""
    answer = final_answer(solution) or solution.strip()
    if not answer:
        return Finding("no_answer")
    points = float(score(answer=answer, entry=entry))
    return Finding("correct" if points >= _FULL_SCORE else "wrong", f"score {points:.3g}")


@functools.cache
def _scorer(dataset: str) -> Callable[..., float]:
    """The scorer of a data set. Raises ValueError where the data set is unknown."""
    function: Callable[..., float] = reasoning_gym.get_score_answer_fn(dataset)
    return function
