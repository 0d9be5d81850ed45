"""The weights rho~ of Variational Reasoning (arXiv 2509.22637, Section 2.3 and App. C.2), in log space.

For a question x with hint y' and reference answer y*, and its K traces z_k ~ q(. | x, y'):

    total log ratio   R_k = log pi_0(z_k | x) - log q(z_k | x, y')
    log ratio         r_k = R_k / |z_k|              `ratio: per_token`, the geometric mean over the tokens (Eq. 8)
                            R_k                      `ratio: sum`
                            0                        `ratio: none`, and always with `estimator: uniform`
    likelihood term   l_k   of the estimator acc, gml, l or uniform (likelihood.py)
    rho_k = exp(r_k + l_k)
    rho~_k = rho_k / sum_j rho_j                                                                           (Eq. 6)

With traces drawn from pi_0 itself (`proposal: initial`) both models are pi_0, so R_k is exactly 0.
Only sums per trace are read, never lists of tokens. Every trace keeps its row; a weight of 0 has its reason.
Not here: which rows are trained on (selection.py), how the tables of several seeds are read (seed_tables.py).
Q questions, K traces a question.
"""

from collections.abc import Sequence
from typing import Any

import dataframely as dy
import polars as pl

from vr.settings.params import Weigh
from vr.tables import parquet
from vr.tables.schemas import Likelihood, Logps, Problems, Traces, Weights
from vr.tables.vocabulary import TRACE_KEY


def weigh(
    problems: dy.DataFrame[Problems],
    traces: dy.DataFrame[Traces],
    logps_initial: dy.DataFrame[Logps],
    logps_proposal: dy.DataFrame[Logps],
    likelihood: dy.DataFrame[Likelihood],
    settings: Weigh,
) -> dy.DataFrame[Weights]:
    """rho~ of every trace of the first K seeds (Eq. 6).

    A trace without its end marker, an empty, a too long and an unscored trace have rho = 0. A question whose rho are
    all 0 keeps weights of 0 and falls back to its own row (selection.py). Exception: with `estimator: acc`, such a
    question takes the gml weights of its usable traces if its verifier cannot be trusted: it is from one of
    `weak_verifier_sources`, or its verifier does not accept its own solution.

    Args:
        problems: Q rows: problem_id, source, self_check.
        traces: at least Q*K rows: problem_id, seed, trace_tokens, finish.
        logps_initial: under pi_0: problem_id, seed, trace_logp_sum, trace_tokens, answer_logp_sum, answer_tokens.
        logps_proposal: under the model that drew the traces: problem_id, seed, trace_logp_sum, trace_tokens.
        likelihood: problem_id, seed, log_likelihood, reason.

    Returns:
        Q*K rows, sorted by question and seed.

    Raises:
        ValueError: a table lacks a trace; the proposal scored another number of tokens than the trace has, or
            (template B) than the initial model.
    """
    rows = (
        _grid(problems, settings.seeds[: settings.K])
        .pipe(_join, traces.select(*TRACE_KEY, "trace_tokens", "finish"), "traces")
        .pipe(_join, _of_initial(logps_initial), "logps of the initial model")
        .pipe(_join, _of_proposal(logps_proposal), "logps of the proposal")
        .pipe(_join, _of_likelihood(likelihood), "likelihood")
    )
    _require_equal_counts(rows, "trace_tokens", "n_proposal")
    if settings.template == "B":  # template A's end marker gives way to pi's, which may have another number of tokens
        _require_equal_counts(rows, "n_initial", "n_proposal")
    rows = rows.with_columns(*_log_ratios()).with_columns(used_ratio=_used_ratio(settings))
    rows = rows.with_columns(unusable=_why_unusable(settings.max_trace_tokens)).with_columns(*_rho())
    if settings.estimator == "acc":
        rows = _with_gml_where_the_verifier_is_weak(rows, settings.weak_verifier_sources)
    return parquet.validate(_normalised(rows).select(Weights.column_names()), Weights, "weights")


def effective_sample_size(weights: dy.DataFrame[Weights]) -> pl.DataFrame:
    """1 / sum_k rho~_k^2 of each question: K for equal weights, 1 if one trace has all the weight, 0 for no weight.

    Returns:
        Q rows: problem_id, effective_sample_size.
    """
    squares = (pl.col("weight") ** 2).sum()
    return weights.group_by("problem_id", maintain_order=True).agg(
        effective_sample_size=pl.when(squares > 0).then(1 / squares).otherwise(0.0)
    )


def summary(weights: dy.DataFrame[Weights]) -> dict[str, Any]:
    """Counts: traces, how many have which reason ("" as `ok`), questions, those without weight; mean sample size."""
    sizes = effective_sample_size(weights)["effective_sample_size"]
    reasons = weights["reason"].cast(pl.String).value_counts().sort("count", "reason", descending=[True, False])
    return {
        "traces": weights.height,
        "reasons": {reason or "ok": n for reason, n in reasons.iter_rows()},
        "questions": len(sizes),
        "questions_without_weight": int((sizes == 0).sum()),
        "effective_sample_size": sizes.mean(),
    }


def _grid(problems: dy.DataFrame[Problems], seeds: Sequence[int]) -> pl.DataFrame:
    """The Q*K traces that there should be: problem_id, source, self_check, seed."""
    return problems.select("problem_id", "source", pl.col("self_check").cast(pl.String)).join(
        pl.DataFrame({"seed": seeds}, {"seed": pl.Int32}), how="cross"
    )


def _of_initial(logps: dy.DataFrame[Logps]) -> pl.DataFrame:
    return logps.select(
        *TRACE_KEY, "answer_logp_sum", "answer_tokens", n_initial="trace_tokens", logp_initial="trace_logp_sum"
    )


def _of_proposal(logps: dy.DataFrame[Logps]) -> pl.DataFrame:
    return logps.select(*TRACE_KEY, n_proposal="trace_tokens", logp_proposal="trace_logp_sum")


def _of_likelihood(likelihood: dy.DataFrame[Likelihood]) -> pl.DataFrame:
    finite = _finite(pl.col("log_likelihood"))
    return likelihood.select(*TRACE_KEY, log_likelihood=finite, likelihood_reason=pl.col("reason").cast(pl.String))


def _join(left: pl.DataFrame, right: pl.DataFrame, name: str) -> pl.DataFrame:
    """Join by trace. A trace that the right table lacks is an error, never a row of nulls."""
    missing = left.join(right, on=TRACE_KEY, how="anti")
    if missing.height:
        first = missing.select(TRACE_KEY).row(0, named=True)
        raise ValueError(f"{name}: {missing.height} of {left.height} traces are missing, the first: {first}")
    return left.join(right, on=TRACE_KEY, how="left", maintain_order="left", validate="1:1")


def _require_equal_counts(rows: pl.DataFrame, one: str, other: str) -> None:
    """A trace has one number of tokens: its own, and those that each model scored."""
    odd = rows.filter(pl.col(one) != pl.col(other))
    if odd.height:
        first = odd.select(*TRACE_KEY, one, other).row(0, named=True)
        raise ValueError(f"logps: {odd.height} trace(s) with different numbers of tokens, the first: {first}")


def _log_ratios() -> tuple[pl.Expr, pl.Expr]:
    """R_k and R_k / |z_k|, where |z_k| counts the tokens of z_k as pi writes it."""
    total = pl.col("logp_initial") - pl.col("logp_proposal")
    return _finite(total).alias("log_ratio_total"), _finite(total / pl.col("n_initial")).alias("log_ratio")


def _used_ratio(settings: Weigh) -> pl.Expr:
    """r_k as the settings define it."""
    if settings.ratio == "none" or settings.estimator == "uniform":
        return pl.lit(0.0)
    return pl.col("log_ratio_total" if settings.ratio == "sum" else "log_ratio")


def _why_unusable(max_trace_tokens: int) -> pl.Expr:
    """The first reason why a trace cannot have weight, whatever its answers; "" for a usable trace."""
    return (
        pl.when(pl.col("trace_tokens") == 0).then(pl.lit("empty"))
        .when(pl.col("finish").cast(pl.String) != "marker").then(pl.lit("truncated"))
        .when(pl.col("trace_tokens") > max_trace_tokens).then(pl.lit("too_long"))
        .when(pl.col("used_ratio").is_null()).then(pl.lit("unscored"))
        .otherwise(pl.lit(""))
    )  # fmt: skip


def _rho() -> tuple[pl.Expr, pl.Expr]:
    """log rho_k = r_k + l_k, null where rho_k = 0, and the reason of that null."""
    usable = pl.col("unusable") == ""
    return (
        pl.when(usable).then(pl.col("used_ratio") + pl.col("log_likelihood")).alias("log_rho"),
        pl.when(usable).then("likelihood_reason").otherwise("unusable").alias("reason"),
    )


def _with_gml_where_the_verifier_is_weak(rows: pl.DataFrame, sources: Sequence[str]) -> pl.DataFrame:
    """The rows of a question whose rho are all 0 take l_k of gml, if its verifier is weak.

    It is in these sources, and where it does not accept the question's own solution.
    """
    weak = pl.col("source").is_in(sources) | (pl.col("self_check") != "correct").fill_null(False)
    gml = _finite(pl.col("used_ratio") + pl.col("answer_logp_sum") / pl.col("answer_tokens"))
    applies = (
        weak & pl.col("log_rho").is_null().all().over("problem_id") & (pl.col("unusable") == "") & gml.is_not_null()
    )
    return rows.with_columns(
        log_rho=pl.when(applies).then(gml).otherwise("log_rho"),
        reason=pl.when(applies).then(pl.lit("weak_verifier")).otherwise("reason"),
    )


def _normalised(rows: pl.DataFrame) -> pl.DataFrame:
    """Eq. 6: softmax of log rho within each question. The maximum is subtracted first, so that exp cannot overflow."""
    shifted = (pl.col("log_rho") - pl.col("log_rho").max().over("problem_id")).exp().fill_null(0.0)
    best_first = pl.col("log_rho").rank("ordinal", descending=True).over("problem_id")  # null ranks null
    return (
        rows.sort(TRACE_KEY)  # ordinal ranks follow the row order, so the lowest seed wins a tie
        .with_columns(weight=shifted)
        .with_columns(
            weight=(pl.col("weight") / pl.col("weight").sum().over("problem_id")).fill_nan(0.0),
            chosen=(best_first == 1).fill_null(False),
        )
    )


def _finite(expression: pl.Expr) -> pl.Expr:
    """Null where a number is NaN or infinite: 0/0 of an empty trace must not rank as the best."""
    return pl.when(expression.is_finite()).then(expression)
