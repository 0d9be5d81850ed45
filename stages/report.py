"""Metrics and plot data of a run (cheap; the costly tables that it reads are made before it).

Reads of the folder EVALS the tables that `evaluate` names, WEIGHTS, and of the weighed seeds the files in the folders
LOGPS_INITIAL, L and GML; PROBLEMS and, in the folder BENCHMARKS, what was evaluated, to count the questions that both
have. Writes METRICS and DETAILS (JSON) and the files of the folder PLOTS, all or none of them.
An evaluation of which nothing is judged is an error.
"""

import logging
from pathlib import Path

import dataframely as dy

from stages._run import Out, run
from stages._settings import params
from vr.method import contamination, seed_tables
from vr.report import results_table, write
from vr.report.metrics import OfBenchmarks, of_benchmarks, require_judged
from vr.settings.params import Evaluate, Report
from vr.sources.wordings import INSTRUCTIONS
from vr.tables import parquet, schemas


def main(
    evals: Path,
    weights: Path,
    logps_initial: Path,
    l: Path,  # noqa: E741
    gml: Path,
    problems: Path,
    benchmarks: Path,
    metrics: Out,
    details: Out,
    plots: Out,
) -> None:
    asked = params(Evaluate)
    found = {
        (model, benchmark): _judged(evals / model / f"{benchmark}.parquet")
        for model in asked.models
        for benchmark in asked.benchmarks
    }
    weighed = parquet.read(weights, schemas.Weights)
    seeds = weighed["seed"].unique().sort().to_list()
    headlines = write.write(
        found,
        write.Traces(
            weighed,
            seed_tables.read(logps_initial, schemas.Logps, seeds, ("trace_tokens", "answer_tokens")),
            total=seed_tables.read(l, schemas.Likelihood, seeds, ("log_likelihood",)),
            per_token=seed_tables.read(gml, schemas.Likelihood, seeds, ("log_likelihood",)),
        ),
        _questions(problems, benchmarks, asked.benchmarks),
        params(Report),
        write.Places(metrics, details, plots),
    )
    logging.info("%s\n%s", metrics, results_table.markdown(headlines))


def _judged(path: Path) -> dy.DataFrame[schemas.Evals]:
    evals = parquet.read(path, schemas.Evals)
    require_judged(evals, str(path))
    return evals


def _questions(problems: Path, benchmarks: Path, names: list[str]) -> OfBenchmarks:
    held_out = {
        name: parquet.read(benchmarks / f"{name}.parquet", schemas.Benchmark, ("question", "source")) for name in names
    }
    training = parquet.read(problems, schemas.Problems, ("question",))["question"]
    asked = {name: frame["question"].to_list() for name, frame in held_out.items()}
    overlaps = contamination.overlaps(training.to_list(), asked, INSTRUCTIONS)
    logging.info("held-out questions that training has too: %s", contamination.in_words(overlaps))
    return of_benchmarks(held_out, overlaps)


if __name__ == "__main__":
    run(main)
