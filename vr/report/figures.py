"""The data of the figures, as tables that `dvc plots` reads (the paper's Figures 2 and 4, and one of our own).

Figure 4 plots totals over a trace or an answer: they show the length bias that Eq. 8 removes. The versions per token
beside them are ours. Figure 1, the loss curves, is written by the trainer.
"""

from dataclasses import dataclass

import dataframely as dy
import polars as pl

from vr.method.weights import effective_sample_size
from vr.report.metrics import Headlines
from vr.tables.schemas import Likelihood, Logps, Weights
from vr.tables.vocabulary import TRACE_KEY

MAX_POINTS = 4000  # a scatter plot with more points is slow in a browser and no clearer


@dataclass(frozen=True)
class Traces:
    """What is known of the weighed traces, joined by key."""

    weights: dy.DataFrame[Weights]
    logps_initial: dy.DataFrame[Logps]
    """under pi_0: problem_id, seed, trace_tokens, answer_tokens"""
    total: dy.DataFrame[Likelihood]
    """of estimator l, log pi_0(y* | x, z_k): problem_id, seed, log_likelihood"""
    per_token: dy.DataFrame[Likelihood]
    """of estimator gml, the same per token of y*: problem_id, seed, log_likelihood"""


def pass_at_k_points(headlines: Headlines) -> pl.DataFrame:
    """Figure 2: benchmark, model, k, pass_at_k."""
    return pl.DataFrame(
        [
            {"benchmark": benchmark, "model": model, "k": int(k), "pass_at_k": value}
            for benchmark, models in headlines.items()
            for model, entry in models.items()
            for k, value in entry.get("pass_at_k", {}).items()
        ],
        schema={"benchmark": pl.String, "model": pl.String, "k": pl.Int64, "pass_at_k": pl.Float64},
    )


def trace_points(traces: Traces, seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Figure 4: trace length against log ratio, answer length against answer log-likelihood, of each weighed trace.

    Args:
        seed: draws MAX_POINTS traces where there are more.

    Returns:
        The points (problem_id, seed, trace_tokens, log_ratio_total, log_ratio, answer_tokens,
        answer_log_likelihood_total, answer_log_likelihood, weight; log-probs in nats, or nats a token), and how many
        traces there are, were plotted and were left out, for which reason.
    """
    joined = _with_lengths_and_likelihoods(traces)
    with_ratio = joined.drop_nulls(["log_ratio", "log_ratio_total"])
    complete = with_ratio.drop_nulls(["answer_log_likelihood", "answer_log_likelihood_total"])
    points = complete.sample(min(MAX_POINTS, complete.height), seed=seed).sort(TRACE_KEY)
    return points, {
        "traces": joined.height,
        "plotted": points.height,
        "without_log_ratio": joined.height - with_ratio.height,
        "without_answer_log_likelihood": with_ratio.height - complete.height,
        "not_drawn": complete.height - points.height,
    }


def _with_lengths_and_likelihoods(traces: Traces) -> pl.DataFrame:
    """One row per weighed trace.

    Raises:
        ValueError: a weighed trace is missing from another table.
    """
    lengths = traces.logps_initial.select(*TRACE_KEY, "trace_tokens", "answer_tokens")
    total = traces.total.select(*TRACE_KEY, answer_log_likelihood_total="log_likelihood")
    per_token = traces.per_token.select(*TRACE_KEY, answer_log_likelihood="log_likelihood")
    joined = traces.weights.select(*TRACE_KEY, "log_ratio_total", "log_ratio", "weight")
    for table, name in (
        (lengths, "logps of the initial model"),
        (total, "likelihood l"),
        (per_token, "likelihood gml"),
    ):
        if (lost := joined.join(table, on=TRACE_KEY, how="anti")).height:
            first = lost.select(TRACE_KEY).row(0, named=True)
            raise ValueError(f"{name}: {lost.height} weighed trace(s) are missing, the first: {first}")
        joined = joined.join(table, on=TRACE_KEY, validate="1:1")
    return joined.select(
        *TRACE_KEY,
        *("trace_tokens", "log_ratio_total", "log_ratio"),
        *("answer_tokens", "answer_log_likelihood_total", "answer_log_likelihood"),
        "weight",
    )


def ess_histogram(weights: dy.DataFrame[Weights], bins: int = 20) -> pl.DataFrame:
    """How many questions have which effective sample size of rho~: effective_sample_size (bin centre), questions."""
    sizes = effective_sample_size(weights)
    width = max(1, weights["seed"].n_unique()) / bins
    bin_of = (pl.col("effective_sample_size") / width).floor().clip(0, bins - 1).cast(pl.Int64)
    return (
        pl.DataFrame({"bin": range(bins)}, {"bin": pl.Int64})
        .join(sizes.group_by(bin_of.alias("bin")).len("questions"), on="bin", how="left", maintain_order="left")
        .select(effective_sample_size=(pl.col("bin") + 0.5) * width, questions=pl.col("questions").fill_null(0))
    )
