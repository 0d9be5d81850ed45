"""By how much the answers that the checker could not judge could move a score.

A score is a mean over groups (the questions of a benchmark, the traces of a seed) of the share of right answers among
a group's judged ones. Answers that were not judged are left out of it. Were all of them wrong, or all right, the score
over all answers would lie at the two ends of `score_range`: no verdicts on them could move it further.
"""

from collections.abc import Sequence

import polars as pl

from vr.tables.vocabulary import JUDGED


def tally(verdicts: pl.DataFrame, group: Sequence[str]) -> pl.DataFrame:
    """Counts of each group.

    Args:
        verdicts: outcome and the columns of `group`.

    Returns:
        The columns of `group`, by which it is sorted, and n (judged answers), c (right answers), unjudged.
    """
    outcome = pl.col("outcome").cast(pl.String)
    judged = outcome.is_in(JUDGED)
    counts = judged.alias("n"), (outcome == "correct").alias("c"), (~judged).alias("unjudged")
    return verdicts.group_by(group).agg(counted.sum().cast(pl.Int64) for counted in counts).sort(group)


def score(groups: pl.DataFrame) -> float | None:
    """The mean over the judged groups of c / n; None where none is judged.

    Args:
        groups: n, c.
    """
    judged = groups.filter(pl.col("n") > 0)
    return None if judged.is_empty() else _mean_share(judged["c"], judged["n"])


def score_range(groups: pl.DataFrame) -> tuple[float, float]:
    """The score over all answers if all unjudged ones were wrong, and if all were right.

    Args:
        groups: at least one row, each with an answer: n, c, unjudged.
    """
    c, unjudged = groups["c"], groups["unjudged"]
    asked = groups["n"] + unjudged
    return _mean_share(c, asked), _mean_share(c + unjudged, asked)


def _mean_share(part: pl.Series, whole: pl.Series) -> float:
    return float((part / whole).to_numpy().mean())


def score_in_words(groups: pl.DataFrame) -> str:
    """The score for a log line, with its range where answers were not judged."""
    if groups.is_empty():
        return "no answers"
    found, unjudged = score(groups), int(groups["unjudged"].sum())
    text = "nothing judged" if found is None else f"{found:.1%} right"
    if not unjudged:
        return text
    low, high = score_range(groups)
    return f"{text}; {unjudged} not judged: {low:.1%} if all of them were wrong, {high:.1%} if right"
