"""Avg@n and Pass@k on held-out questions, with bootstrap intervals over questions (method step 8; App. D).

An answer that the checker could not judge is neither right nor wrong: n is the number of judged answers of a question.
A question without judged answers is left out and counted. By how much such answers could move a score is said beside
it (unjudged.py).
Not here: sampling and judging (stages/evaluate.py), files and tables of results (vr/report).
Q questions, B bootstrap resamples.
"""

from collections.abc import Sequence
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from vr.method.unjudged import score_range, tally
from vr.tables.schemas import Evals


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased Pass@k from c right answers of n: 1 - C(n-c, k) / C(n, k) (arXiv 2107.03374, Eq. 1).

    Raises:
        ValueError: k is not in 1..n or c is not in 0..n.
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass_at_k: n = {n}, c = {c}, k = {k}: needs 1 <= k <= n and 0 <= c <= n")
    # the product form of the ratio of binomials needs no large integers
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def per_question(evals: dy.DataFrame[Evals]) -> pl.DataFrame:
    """Counts of one model on one benchmark.

    Args:
        evals: problem_id, verifier, outcome, response_tokens.

    Returns:
        Q rows, sorted: problem_id, verifier, n (judged answers), c (right answers), unjudged, response_tokens (mean).
    """
    key = ("problem_id", "verifier")
    lengths = evals.group_by(key).agg(pl.col("response_tokens").mean())
    return tally(evals, key).join(lengths, on=key, validate="1:1", maintain_order="left")


def headline(questions: pl.DataFrame, *, pass_at: Sequence[int], bootstrap: int, seed: int) -> dict[str, Any]:
    """Avg@n with its 95 % interval, and Pass@k, over the judged questions.

    Args:
        questions: rows of `per_question`.
        pass_at: the k; a k above the smallest n is left out.

    Returns:
        avg_at_n, ci_low, ci_high, n (the smallest), questions (all), pass_at_k; with unjudged answers also
        avg_at_n_at_least, avg_at_n_at_most. Only `questions` where none is judged.
    """
    judged = questions.filter(pl.col("n") > 0)
    if judged.is_empty():
        return {"questions": questions.height}
    score_Q = (judged["c"] / judged["n"]).to_numpy()
    low, high = bootstrap_interval(score_Q, bootstrap, seed)
    counts = judged.select("n", "c").rows()
    n_min = min(n for n, _ in counts)
    return {
        "avg_at_n": float(score_Q.mean()),
        "ci_low": low,
        "ci_high": high,
        **_range_of(questions),
        "n": n_min,
        "questions": questions.height,
        "pass_at_k": {str(k): float(np.mean([pass_at_k(n, c, k) for n, c in counts])) for k in pass_at if k <= n_min},
    }


def _range_of(questions: pl.DataFrame) -> dict[str, float]:
    """Avg@n whatever the verdicts on the unjudged answers: avg_at_n_at_least, avg_at_n_at_most; empty without any."""
    if not questions["unjudged"].sum():
        return {}
    low, high = score_range(questions)
    return {"avg_at_n_at_least": low, "avg_at_n_at_most": high}


def unjudged(questions: pl.DataFrame) -> dict[str, int]:
    """How many answers the checker could not judge, and how many questions have no judged answer."""
    return {
        "questions_unjudged": questions.filter(pl.col("n") == 0).height,
        "answers_unjudged": int(questions["unjudged"].sum()),
    }


def difference(one: pl.DataFrame, other: pl.DataFrame, *, bootstrap: int, seed: int) -> dict[str, float]:
    """Avg@n of one model minus another's on the same benchmark, paired by question, with its 95 % interval.

    Args:
        one, other: rows of `per_question`; a question that only one of them has judged answers for is left out.

    Returns:
        avg_at_n, ci_low, ci_high, questions (that were compared); with unjudged answers also avg_at_n_at_least,
        avg_at_n_at_most, over all questions. Only `questions` where that is 0.
    """
    judged = pl.col("n") > 0
    pairs = one.filter(judged).join(other.filter(judged), on="problem_id", how="inner", validate="1:1")
    if pairs.is_empty():
        return {"questions": 0}
    difference_Q = (pairs["c"] / pairs["n"] - pairs["c_right"] / pairs["n_right"]).to_numpy()
    low, high = bootstrap_interval(difference_Q, bootstrap, seed)
    return {
        "avg_at_n": float(difference_Q.mean()),
        "ci_low": low,
        "ci_high": high,
        **_range_of_difference(one, other),
        "questions": pairs.height,
    }


def _range_of_difference(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, float]:
    """As `_range_of`: the least gain is that of a model whose unjudged answers are wrong over one whose are right."""
    if not pl.concat([one["unjudged"], other["unjudged"]]).sum():
        return {}
    (least, most), (other_least, other_most) = score_range(one), score_range(other)
    return {"avg_at_n_at_least": least - other_most, "avg_at_n_at_most": most - other_least}


def bootstrap_interval(values_Q: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of Q values, resampling questions.

    Raises:
        ValueError: no values.
    """
    if len(values_Q) == 0:
        raise ValueError("bootstrap_interval: no questions")
    rng = np.random.default_rng(seed)
    means_B = np.concatenate(  # a thousand resamples at a time keeps the index array small
        [
            values_Q[rng.integers(len(values_Q), size=(min(1000, resamples - done), len(values_Q)))].mean(axis=1)
            for done in range(0, resamples, 1000)
        ]
    )
    low, high = np.quantile(means_B, [0.025, 0.975])
    return float(low), float(high)
