"""The likelihood term l_k of each trace (arXiv 2509.22637, App. C.2), by estimator.

    acc       log of the share of correct answers among the judged answers y ~ pi_0(. | x, z_k)
    gml       log pi_0(y* | x, z_k) / |y*|, the geometric mean over the tokens of y*
    l         log pi_0(y* | x, z_k)
    uniform   0

Not here: the ratio of the two models and the weights (weights.py), how answers are judged (vr/verify).
K traces a question, M answers a trace.
"""

import hashlib

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.schemas import Answers, Likelihood, Logps, Traces, Verifications
from vr.tables.vocabulary import ANSWER_KEY, JUDGED, TRACE_KEY


def accuracy(
    traces: dy.DataFrame[Traces],
    verifications: dy.DataFrame[Verifications],
    answers: dy.DataFrame[Answers],
    seed: int,
) -> dy.DataFrame[Likelihood]:
    """l_k = log acc_k over the judged answers of each trace, and one correct answer to train with.

    The answer is drawn uniformly from the trace's correct answers by a hash of the trace's key and `seed`, so it does
    not depend on the other traces. A trace without judged answers has no accuracy. A trace without its end marker
    was given no answers.

    Args:
        traces: problem_id, seed, finish.
        verifications: problem_id, seed, sample, outcome.
        answers: problem_id, seed, sample, answer_ids.
        seed: of the draw.

    Returns:
        One row per trace; answer_ids is null where no answer is correct.

    Raises:
        ValueError: an answer without verdict, a verdict without answer, a finished trace without answers.
    """
    _require_same_keys(answers, verifications)
    _require_answers(traces, answers)
    n_correct, n_judged = pl.col("n_correct"), pl.col("n_judged")
    frame = (
        traces.select(TRACE_KEY)
        .join(_counts(verifications, seed), on=TRACE_KEY, how="left", maintain_order="left")
        .with_columns(
            log_likelihood=pl.when(n_correct > 0).then((n_correct / n_judged).log()),
            reason=pl.when(n_correct > 0).then(pl.lit(""))
            .when(n_judged > 0).then(pl.lit("none_correct"))
            .otherwise(pl.lit("none_judged")),
        )
        .join(answers.select(*ANSWER_KEY, "answer_ids"), on=ANSWER_KEY, how="left", maintain_order="left")
    )  # fmt: skip
    return parquet.validate(frame.select(Likelihood.column_names()), Likelihood, "likelihood")


def reference_likelihood(logps_initial: dy.DataFrame[Logps], estimator: str) -> dy.DataFrame[Likelihood]:
    """l_k of the estimators gml, l and uniform.

    Args:
        logps_initial: under pi_0: problem_id, seed, answer_logp_sum, answer_tokens.

    Returns:
        One row per trace; answer_ids is null: the reference answer y* is trained on.

    Raises:
        ValueError: the estimator is not one of these three.
    """
    terms = {
        "gml": pl.col("answer_logp_sum") / pl.col("answer_tokens"),
        "l": pl.col("answer_logp_sum"),
        "uniform": pl.lit(0.0),
    }
    if estimator not in terms:
        raise ValueError(f"estimator = {estimator!r}: not one of {', '.join(terms)}")
    frame = logps_initial.select(
        *TRACE_KEY,
        log_likelihood=terms[estimator],
        reason=pl.when(terms[estimator].is_null()).then(pl.lit("unscored")).otherwise(pl.lit("")),
        answer_ids=pl.lit(None, dtype=pl.List(pl.Int32)),
    )
    return parquet.validate(frame, Likelihood, "likelihood")


def _counts(verifications: dy.DataFrame[Verifications], seed: int) -> pl.DataFrame:
    """Of each trace: n_correct, n_judged, and the `sample` of one correct answer."""
    outcome = pl.col("outcome").cast(pl.String)
    counts = (
        verifications.group_by(TRACE_KEY)
        .agg(
            n_correct=(outcome == "correct").sum(),
            n_judged=outcome.is_in(JUDGED).sum(),
            correct_samples=pl.col("sample").filter(outcome == "correct").sort(),
        )
        .sort(TRACE_KEY)
    )
    draws = [
        samples[_draw(problem_id, trace_seed, seed) % len(samples)] if samples else None
        for problem_id, trace_seed, samples in counts.select(*TRACE_KEY, "correct_samples").iter_rows()
    ]
    return counts.with_columns(sample=pl.Series(draws, dtype=pl.Int32))


def _draw(problem_id: str, trace_seed: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"answer/{problem_id}/{trace_seed}/{seed}".encode()).digest()[:8], "big")


def _require_same_keys(answers: dy.DataFrame[Answers], verifications: dy.DataFrame[Verifications]) -> None:
    for table, other, name in ((answers, verifications, "answers"), (verifications, answers, "verifications")):
        lonely = table.join(other, on=ANSWER_KEY, how="anti")
        if lonely.height:
            first = lonely.select(ANSWER_KEY).row(0, named=True)
            raise ValueError(f"{name}: {lonely.height} key(s) stand only here, the first: {first}")


def _require_answers(traces: dy.DataFrame[Traces], answers: dy.DataFrame[Answers]) -> None:
    finished = traces.filter(pl.col("finish").cast(pl.String) == "marker")
    unanswered = finished.join(answers, on=TRACE_KEY, how="anti")
    if unanswered.height:
        first = unanswered.select(TRACE_KEY).row(0, named=True)
        raise ValueError(f"answers: {unanswered.height} trace(s) have none, the first: {first}")
