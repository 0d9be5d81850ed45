"""Metrics and plot data of a run (cheap; the costly tables that it reads are made before it).

Reads EVALS (folder; one table per evaluated model), WEIGHTS, LOGPS_INITIAL (folder).
Writes METRICS (JSON) and the CSV files of the folder PLOTS.
"""

import json
import logging
from pathlib import Path

import polars as pl

from stages import params, run
from vr.settings.params import Evaluate, Report
from vr.tables import parquet, schemas


def main(evals: Path, weights: Path, logps_initial: Path, metrics: Path, plots: Path) -> None:
    p, models = params(Report), params(Evaluate).models
    found = metrics.metrics(
        {model: parquet.read(evals / f"{model}.parquet", schemas.Evals) for model in models},
        pass_at=p.pass_at,
        bootstrap=p.bootstrap,
        seed=p.seed,
    )
    weighed = parquet.read(weights, schemas.Weights)
    columns = (*schemas.Logps.primary_key(), "trace_tokens", "answer_logp_sum", "answer_tokens")
    logps = pl.concat(
        parquet.read(logps_initial / f"seed={seed}.parquet", schemas.Logps, columns)
        for seed in weighed["seed"].unique().sort()
    )
    plots.mkdir(parents=True, exist_ok=True)
    metrics.pass_at_k_points(found).write_csv(plots / "pass_at_k.csv")
    metrics.trace_points(weighed, logps, p.seed).write_csv(plots / "traces.csv")
    metrics.ess_histogram(weighed).write_csv(plots / "effective_sample_size.csv")
    metrics.write_text(json.dumps(found, indent=2) + "\n")
    logging.info("%s\n%s", metrics, metrics.table_text(found))


if __name__ == "__main__":
    run(main)
