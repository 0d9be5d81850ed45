"""What came out: metrics, plot data and the table of results.

`python -m vr.report.metrics metrics.json` prints the table. Everything here is cheap and reads tables only; sampling and
judging are evaluation's.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vr.method import evaluation
from vr.method.weights import KEY, effective_sample_size

MAX_POINTS = 4000  # a scatter plot with more than this is slow in a browser and no clearer


def metrics(
    evals: Mapping[str, pl.DataFrame], *, pass_at: Sequence[int], bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """`<benchmark>.<model>`: avg_at_n, ci_low, ci_high, pass_at_k, by_kind; and `final_minus_initial`.

    Args:
        evals: tables.Evals of each model.
    """
    questions = {model: evaluation.per_question(frame) for model, frame in evals.items()}
    result: dict[str, dict[str, Any]] = {}
    for model, of_model in questions.items():
        for (benchmark,), of_benchmark in of_model.group_by("benchmark", maintain_order=True):
            entry = evaluation.summary(of_benchmark, pass_at=pass_at, bootstrap=bootstrap, seed=seed)
            entry["by_kind"] = {
                str(kind): evaluation.summary(of_kind, pass_at=pass_at, bootstrap=bootstrap, seed=seed)
                for (kind,), of_kind in of_benchmark.group_by("verifier", maintain_order=True)
            }
            result.setdefault(str(benchmark), {})[model] = entry
    if {"final", "initial"} <= questions.keys():
        for benchmark, models in result.items():
            final, initial = (questions[name].filter(benchmark=benchmark) for name in ("final", "initial"))
            models["final_minus_initial"] = evaluation.difference(final, initial, bootstrap=bootstrap, seed=seed)
    return result


def pass_at_k_points(found: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Figure 2: benchmark, model, k, pass_at_k."""
    return pl.DataFrame(
        [
            {"benchmark": benchmark, "model": model, "k": int(k), "pass_at_k": value}
            for benchmark, models in found.items()
            for model, entry in models.items()
            for k, value in entry.get("pass_at_k", {}).items()
        ],
        schema={"benchmark": pl.String, "model": pl.String, "k": pl.Int64, "pass_at_k": pl.Float64},
    )


def trace_points(weights: pl.DataFrame, logps_initial: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Figure 4: lengths against log ratio and answer log-likelihood, of at most MAX_POINTS traces.

    Returns:
        problem_id, seed, trace_tokens, log_ratio, answer_tokens, answer_log_likelihood (nats a token), weight.
    """
    points = weights.join(logps_initial, on=KEY, how="inner", validate="1:1").select(
        *KEY,
        "trace_tokens",
        "log_ratio",
        "answer_tokens",
        answer_log_likelihood=pl.col("answer_logp_sum") / pl.col("answer_tokens"),
        weight="weight",
    )
    return points.sample(min(MAX_POINTS, points.height), seed=seed).sort(KEY)


def ess_histogram(weights: pl.DataFrame, bins: int = 20) -> pl.DataFrame:
    """How many questions have which effective sample size of rho~: effective_sample_size (bin centre), questions."""
    sizes = effective_sample_size(weights)
    top = max(1, weights["seed"].n_unique())
    width = top / bins
    bin_of = (pl.col("effective_sample_size") / width).floor().clip(0, bins - 1)
    return (
        pl.DataFrame({"bin": range(bins)}, {"bin": pl.Int64})
        .join(sizes.group_by(bin_of.cast(pl.Int64).alias("bin")).len("questions"), on="bin", how="left")
        .select(effective_sample_size=(pl.col("bin") + 0.5) * width, questions=pl.col("questions").fill_null(0))
    )


def table_text(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of results, for a terminal and for Markdown: one row per benchmark and model, in percent."""
    columns = ["benchmark", "model", "Avg@n", "95 % interval", "n", "questions", "Pass@k"]
    rows = [columns]
    for benchmark, models in found.items():
        for model, entry in models.items():
            if "avg_at_n" not in entry:
                rows.append([benchmark, model, "not judged", "", "", str(entry["questions"]), ""])
                continue
            sign = "+" if model == "final_minus_initial" else ""
            passes = ", ".join(f"@{k} {100 * value:.1f}" for k, value in entry.get("pass_at_k", {}).items())
            rows.append(
                [
                    benchmark,
                    model.replace("_", " "),
                    f"{100 * entry['avg_at_n']:{sign}.1f}",
                    f"{100 * entry['ci_low']:{sign}.1f} to {100 * entry['ci_high']:{sign}.1f}",
                    str(entry.get("n", "")),
                    str(entry["questions"]),
                    passes,
                ]
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m vr.report.metrics metrics.json")
    print(table_text(json.loads(Path(sys.argv[1]).read_text())))
