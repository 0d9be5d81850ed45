"""Training rows: tables to weighted examples, one by one, in the tables' order.

Three kinds of rows (arXiv 2509.22637, App. C.1 and C.3): (x, z*, y*) for pi_0, (x, y', z*) for q, and the final model's
rows, whose token ids come as they stand in the table `final`. Text is encoded in blocks, on all cores; memory does
not grow with the number of rows.

Not covered: which rows are chosen and what they weigh (vr/method), and what is saved for the trainer
(vr/engines/training/training_set.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from vr.renderers.example import Example
from vr.renderers.renderer import PROBLEM_COLUMNS, Renderer

ROWS_AT_ONCE = 256  # of 6,000 tokens: some 60 MB as Python's integers


@dataclass(frozen=True)
class WeightedExample:
    """An example and its loss weight w_i >= 0."""

    example: Example
    weight: float


def initial_rows(problems: Iterable[pl.DataFrame], renderer: Renderer) -> Iterator[WeightedExample]:
    """pi_0's rows: (x, z*, y*) of every problem, weight 1.

    Args:
        problems: frames of tables.Problems with PROBLEM_COLUMNS.

    Raises:
        ValueError: a solution without its markers; names the problem.
    """
    for block in _blocks(problems, PROBLEM_COLUMNS):
        for example in renderer.initial_examples(block.to_dicts()):
            yield WeightedExample(example, 1.0)


def posterior_rows(problems: Iterable[pl.DataFrame], renderer: Renderer) -> Iterator[WeightedExample]:
    """q's rows: (x, y', z*) of every problem, weight 1.

    Args:
        problems: frames of tables.Problems with PROBLEM_COLUMNS.

    Raises:
        ValueError: a solution without its markers; names the problem.
    """
    for block in _blocks(problems, PROBLEM_COLUMNS):
        for example in renderer.posterior_examples(block.to_dicts()):
            yield WeightedExample(example, 1.0)


def final_rows(final: Iterable[pl.DataFrame], problems: pl.DataFrame, renderer: Renderer) -> Iterator[WeightedExample]:
    """The final model's rows: the question by problem_id, the ids of trace and answer as they stand in `final`.

    Args:
        final: frames of tables.Final: problem_id, weight, trace_ids, answer_ids.
        problems: problem_id, question, system.

    Raises:
        ValueError: a problem_id that `problems` lacks.
    """
    asked = {
        row["problem_id"]: row for row in problems.select("problem_id", "question", "system").iter_rows(named=True)
    }
    for block in _blocks(final, ("problem_id", "weight", "trace_ids", "answer_ids")):
        rows = [(_asked(asked, row[0]), row[2], row[3]) for row in block.iter_rows()]
        for example, weight in zip(renderer.reasoner_examples(rows), block["weight"], strict=True):
            yield WeightedExample(example, weight)


def _asked(asked: dict[str, dict[str, Any]], problem_id: str) -> dict[str, Any]:
    if problem_id not in asked:
        raise ValueError(f"final: problem_id {problem_id!r} is not in problems")
    return asked[problem_id]


def _blocks(frames: Iterable[pl.DataFrame], columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield from frame.select(columns).iter_slices(ROWS_AT_ONCE)
