"""Which questions train what (arXiv 2509.22637, App. F.4).

    final     the questions whose traces are sampled, weighed and learnt from by the final model
    initial   the questions that pi_0 and q learn from: all, or with `disjoint` those that are not in `final`

The paper's 17K setting has all questions in both, its 1K setting 1,000 of them in `final`. Table 9 is `disjoint`.
"""

import hashlib
from typing import Literal

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.schemas import Problems, Subset


def final_subset(problems: dy.DataFrame[Problems], size: int | Literal["all"], seed: int) -> dy.DataFrame[Subset]:
    """The `size` questions with the lowest hash of seed and problem_id.

    So a larger subset contains every smaller one of the same seed, and whether one of two questions goes before the
    other does not depend on the rest.

    Args:
        problems: problem_id of all questions.

    Returns:
        problem_id, in the order of `problems`.

    Raises:
        ValueError: `size` is more than the number of questions, or there are none.
    """
    ids = problems["problem_id"].to_list()
    if size == "all":
        return _subset(ids, "final")
    if size > len(ids):
        raise ValueError(f"params.yaml: subsets.final.size = {size}: there are {len(ids)} questions")
    chosen = set(sorted(ids, key=lambda problem_id: _hash(problem_id, seed))[:size])
    return _subset([problem_id for problem_id in ids if problem_id in chosen], "final")


def initial_subset(
    problems: dy.DataFrame[Problems], final: dy.DataFrame[Subset], disjoint: bool
) -> dy.DataFrame[Subset]:
    """All questions; with `disjoint`, those that are not in `final`.

    Args:
        problems: problem_id of all questions.

    Returns:
        problem_id, in the order of `problems`.

    Raises:
        ValueError: no question is left.
    """
    taken = set(final["problem_id"]) if disjoint else set()
    return _subset([problem_id for problem_id in problems["problem_id"] if problem_id not in taken], "initial")


def _hash(problem_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"subset/{seed}/{problem_id}".encode()).digest()


def _subset(problem_ids: list[str], name: str) -> dy.DataFrame[Subset]:
    if not problem_ids:
        hint = " (subsets.disjoint: true leaves none outside the final subset)" if name == "initial" else ""
        raise ValueError(f"params.yaml: subsets: the {name} subset has no question{hint}")
    frame = pl.DataFrame({"problem_id": problem_ids}, {"problem_id": pl.String})
    return parquet.validate(frame, Subset, f"{name} subset")
