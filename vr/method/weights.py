"""The weights rho~ of Variational Reasoning (arXiv 2509.22637, Section 2.3, App. C.2), in log space, in Polars.

    log ratio    r_k = (log pi_0(z_k|x) - log q(z_k|x,y')) / |z_k|                            (Eq. 8)
    likelihood   l_k = log acc_k              estimator acc: share of correct answers given z_k
                       log pi_0(y*|x,z_k) / |y*|        gml: geometric mean over the tokens of y*
                       log pi_0(y*|x,z_k)                 l: the plain likelihood
                       0                            uniform: (and r_k = 0) every usable trace alike
    rho_k = exp(r_k + l_k),   rho~_k = rho_k / sum_j rho_j                                    (Eq. 6)

It reads per-trace sums: the scorer's, or those that `sums_of_lists` takes anew over the per-token lists, a piece of
a table at a time. Every trace keeps its row; a weight of 0 has its reason.
Not here: which rows are trained on (selection.py), where the tables lie (stages/).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from vr.settings.params import Estimator
from vr.tables.vocabulary import JUDGED

KEY = ["problem_id", "seed"]


def accuracy(traces: pl.DataFrame, verifications: pl.DataFrame, answers: pl.DataFrame, seed: int) -> pl.DataFrame:
    """l_k = log acc_k over the judged answers of each trace, and one correct answer to train with.

    The answer is drawn uniformly from the trace's correct ones, by a hash of the trace's key and `seed`: so it
    does not depend on which other traces there are. A trace of which no answer was judged has no accuracy; nor
    has one without its end marker, which was given no answers.

    Args:
        traces: problem_id, seed, finish.
        verifications: problem_id, seed, sample, outcome.
        answers: problem_id, seed, sample, answer_ids.

    Returns:
        One row per trace: problem_id, seed, log_likelihood, reason, answer_ids (null: none correct).

    Raises:
        ValueError: an answer without verdict, a verdict without answer, a finished trace without answers.
    """
    sample_key = [*KEY, "sample"]
    for one, other, what in ((answers, verifications, "answers"), (verifications, answers, "verifications")):
        lonely = one.join(other, on=sample_key, how="anti")
        if lonely.height:
            raise ValueError(f"{what}: {lonely.height} key(s) only here, the first: {lonely.row(0, named=True)}"[:300])
    unanswered = traces.filter(pl.col("finish").cast(pl.String) == "marker").join(answers, on=KEY, how="anti")
    if unanswered.height:
        raise ValueError(f"answers: {unanswered.height} trace(s) have none, the first: {unanswered.row(0, named=True)}")
    outcome = pl.col("outcome").cast(pl.String)
    n_correct, n_judged = pl.col("n_correct"), pl.col("n_judged")
    counts = (
        verifications.group_by(KEY)
        .agg(
            n_correct=(outcome == "correct").sum(),
            n_judged=outcome.is_in(JUDGED).sum(),
            correct_samples=pl.col("sample").filter(outcome == "correct").sort(),
        )
        .sort(KEY)
    )
    draws = [
        int(samples[_draw(problem_id, trace_seed, seed) % len(samples)]) if samples else None
        for problem_id, trace_seed, samples in counts.select(*KEY, "correct_samples").iter_rows()
    ]
    return (
        traces.select(KEY)
        .join(counts.with_columns(sample=pl.Series(draws, dtype=pl.Int32)), on=KEY, how="left", maintain_order="left")
        .with_columns(
            log_likelihood=pl.when(n_correct > 0).then((n_correct / n_judged).log()),
            reason=pl.when(n_correct > 0)
            .then(pl.lit(""))
            .when(n_judged > 0)
            .then(pl.lit("none_correct"))
            .otherwise(pl.lit("none_judged")),
        )
        .join(answers.select(*sample_key, "answer_ids"), on=sample_key, how="left", maintain_order="left")
        .select(*KEY, "log_likelihood", "reason", "answer_ids")
    )


def _draw(problem_id: str, trace_seed: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"answer/{problem_id}/{trace_seed}/{seed}".encode()).digest()[:8], "big")


def reference_likelihood(logps_initial: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """l_k of the estimators gml and l from the reference answer's log-prob under pi_0, or 0 for uniform.

    Returns:
        One row per trace: problem_id, seed, log_likelihood, reason, answer_ids (null: y* itself).
    """
    terms = {
        "gml": pl.col("answer_logp_sum") / pl.col("answer_tokens"),
        "l": pl.col("answer_logp_sum"),
        "uniform": pl.lit(0.0),
    }
    if estimator not in terms:
        raise ValueError(f"estimator = {estimator!r}: not one of {', '.join(terms)}")
    return logps_initial.select(
        *KEY,
        log_likelihood=terms[estimator],
        reason=pl.when(terms[estimator].is_null()).then(pl.lit("unscored")).otherwise(pl.lit("")),
        answer_ids=pl.lit(None, dtype=pl.List(pl.Int32)),
    )


def sums_of_lists(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """log p(z_k | ...) of every trace taken anew as the sum over its tokens, in float64: memory for one batch.

    A trace that the scorer could not score (its sum is null) stays without a sum.

    Args:
        batches: frames of tables.Logps with trace_logp_sum, trace_tokens and trace_logps.

    Returns:
        The same frames with the new trace_logp_sum and without trace_logps.

    Raises:
        ValueError: a scored trace without a list, or a list of another length than trace_tokens.
    """
    logps, n_logps = pl.col("trace_logps").list, pl.col("n_logps")
    total = logps.agg(pl.element().cast(pl.Float64).sum())
    for batch in batches:
        is_scored = pl.col("trace_logp_sum").is_not_null()
        frame = batch.with_columns(trace_logp_sum=pl.when(is_scored).then(total), n_logps=logps.len())
        frame = frame.drop("trace_logps")
        scored = frame.filter(batch["trace_logp_sum"].is_not_null()).select(*KEY, "trace_tokens", "n_logps")
        if (without := scored.filter(n_logps.is_null())).height:
            raise ValueError(
                f"logps: {without.height} scored trace(s) have no trace_logps, the first: {without.row(0, named=True)};"
                " weigh.token_logps needs score_initial.token_logps and score_posterior.token_logps"
            )
        if (odd := scored.filter(n_logps != pl.col("trace_tokens"))).height:
            raise ValueError(
                f"logps: {odd.height} trace(s) with another number of trace_logps than trace_tokens,"
                f" the first: {odd.row(0, named=True)}"
            )
        yield frame.drop("n_logps")


def weigh(
    problems: pl.DataFrame,
    traces: pl.DataFrame,
    logps_initial: pl.DataFrame,
    logps_posterior: pl.DataFrame,
    likelihood: pl.DataFrame,
    *,
    estimator: Estimator,
    seeds: Sequence[int],
    ratio: bool,
    max_trace_tokens: int,
    weak_verifier_sources: Sequence[str],
) -> pl.DataFrame:
    """rho~ of every trace (Eq. 6).

    A trace that did not end with its marker, is empty, too long or not scorable has rho = 0. Where all rho of a
    question are 0 they stay 0 (the question then falls back to its own row), but under acc the questions of
    `weak_verifier_sources` take the gml weights of their usable traces.

    Args:
        problems: Q rows: problem_id, source.
        traces: Q*K rows: problem_id, seed, trace_tokens, finish.
        logps_initial, logps_posterior: Q*K rows: trace_logp_sum, trace_tokens (and of pi_0 answer_*).
        likelihood: Q*K rows: log_likelihood, reason.
        seeds: the K seeds that count.

    Returns:
        tables.Weights, sorted by question and seed.

    Raises:
        ValueError: a table lacks a question or seed, or the two models scored different numbers of tokens.
    """
    grid = problems.select("problem_id", "source").join(pl.DataFrame({"seed": seeds}, {"seed": pl.Int32}), how="cross")
    scored = (
        _join(grid, traces.select(*KEY, "trace_tokens", "finish"), "traces")
        .pipe(_join, logps_initial.select(*KEY, *_SUMS, n_pi="trace_tokens", logp_pi="trace_logp_sum"), "logps_initial")
        .pipe(_join, logps_posterior.select(*KEY, n_q="trace_tokens", logp_q="trace_logp_sum"), "logps_posterior")
        .pipe(_join, likelihood.select(*KEY, "log_likelihood", likelihood_reason="reason"), "likelihood")
    )
    use_ratio = ratio and estimator != "uniform"
    log_ratio = (pl.col("logp_pi") - pl.col("logp_q")) / pl.col("n_pi")
    frame = scored.with_columns(log_ratio=_finite(log_ratio), log_likelihood=_finite(pl.col("log_likelihood")))
    unusable = (
        pl.when(pl.col("trace_tokens") == 0).then(pl.lit("empty"))
        .when(pl.col("finish").cast(pl.String) != "marker").then(pl.lit("truncated"))
        .when(pl.col("trace_tokens") > max_trace_tokens).then(pl.lit("too_long"))
        .when(pl.lit(use_ratio) & pl.col("log_ratio").is_null()).then(pl.lit("unscored"))
        .otherwise(pl.lit(""))
    )  # fmt: skip
    log_ratio_used = pl.col("log_ratio") if use_ratio else pl.lit(0.0)
    frame = frame.with_columns(unusable=unusable).with_columns(
        log_rho=pl.when(pl.col("unusable") == "").then(log_ratio_used + pl.col("log_likelihood")),
        reason=pl.when(pl.col("unusable") == "")
        .then(pl.col("likelihood_reason").cast(pl.String))
        .otherwise("unusable"),
    )
    if estimator == "acc" and weak_verifier_sources:
        frame = _trust_gml_where_the_verifier_is_weak(frame, log_ratio_used, weak_verifier_sources)
    return _normalise(frame).select(
        *KEY, "log_ratio", "log_likelihood", "log_rho", "weight", "chosen", "reason"
    )  # fmt: skip


_SUMS = ("answer_logp_sum", "answer_tokens")


def _join(left: pl.DataFrame, right: pl.DataFrame, name: str) -> pl.DataFrame:
    """Join by key; a key that the right table lacks is an error, never a null row."""
    missing = left.join(right, on=KEY, how="anti")
    if missing.height:
        first = missing.select(KEY).row(0, named=True)
        raise ValueError(f"{name}: {missing.height} of {left.height} traces are missing, the first: {first}")
    return left.join(right, on=KEY, how="left", maintain_order="left", validate="1:1")


def _finite(expression: pl.Expr) -> pl.Expr:
    """Null where a number is NaN or infinite: 0/0 of an empty trace must not be sorted as the best."""
    return pl.when(expression.is_finite()).then(expression)


def _trust_gml_where_the_verifier_is_weak(
    frame: pl.DataFrame, log_ratio: pl.Expr, sources: Sequence[str]
) -> pl.DataFrame:
    gml = _finite(log_ratio + pl.col("answer_logp_sum") / pl.col("answer_tokens"))
    applies = (
        pl.col("source").is_in(sources)
        & pl.col("log_rho").is_null().all().over("problem_id")
        & (pl.col("unusable") == "")
        & gml.is_not_null()
    )
    return frame.with_columns(
        log_rho=pl.when(applies).then(gml).otherwise("log_rho"),
        reason=pl.when(applies).then(pl.lit("weak_verifier")).otherwise("reason"),
    )


def _normalise(frame: pl.DataFrame) -> pl.DataFrame:
    """Softmax of log_rho within each question, shifted by its maximum so that exp cannot overflow or lose all."""
    shifted = (pl.col("log_rho") - pl.col("log_rho").max().over("problem_id")).exp().fill_null(0.0)
    best_first = pl.col("log_rho").rank("ordinal", descending=True).over("problem_id")  # null ranks null
    return (
        frame.sort(KEY)  # ordinal ranks follow the row order, so among ties the lowest seed is first
        .with_columns(weight=shifted)
        .with_columns(
            weight=(pl.col("weight") / pl.col("weight").sum().over("problem_id")).fill_nan(0.0),
            chosen=(best_first == 1).fill_null(False),
        )
    )


def effective_sample_size(weights: pl.DataFrame) -> pl.DataFrame:
    """1 / sum_k rho~_k^2 of each question: K where all traces count alike, 1 where one has it all, 0 for none.

    Returns:
        Q rows: problem_id, effective_sample_size.
    """
    squares = (pl.col("weight") ** 2).sum()
    return weights.group_by("problem_id", maintain_order=True).agg(
        effective_sample_size=pl.when(squares > 0).then(1 / squares).otherwise(0.0)
    )
