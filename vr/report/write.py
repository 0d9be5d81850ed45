"""The report of a run as files: metrics.json, details.json and the figures' data."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy

from vr.method.weights import summary
from vr.report import figures, metrics
from vr.settings.params import Report
from vr.tables.files import atomic_file, atomic_folder
from vr.tables.schemas import Logps, Weights


@dataclass(frozen=True)
class Places:
    """Where the report is written."""

    metrics: Path
    """JSON: the headline numbers"""
    details: Path
    """JSON: all other counts"""
    plots: Path
    """folder of CSV files, replaced as a whole"""


def write(
    evals: metrics.EvalsOf,
    weights: dy.DataFrame[Weights],
    logps_initial: dy.DataFrame[Logps],
    settings: Report,
    places: Places,
) -> metrics.Headlines:
    """Write the report.

    Args:
        evals: the evaluation of each (model, benchmark).
        weights: of all weighed traces.
        logps_initial: of those traces under pi_0: problem_id, seed, trace_tokens, answer_logp_sum, answer_tokens.

    Returns:
        The headlines, for `results_table`.
    """
    headlines = metrics.headlines(evals, settings)
    points, plotted = figures.trace_points(weights, logps_initial, settings.seed)
    with atomic_folder(places.plots) as folder:
        figures.pass_at_k_points(headlines).write_csv(folder / "pass_at_k.csv")
        points.write_csv(folder / "traces.csv")
        figures.ess_histogram(weights).write_csv(folder / "effective_sample_size.csv")
    _write_json(headlines, places.metrics)
    found = {"evals": metrics.details(evals, settings), "weights": summary(weights), "figure_4": plotted}
    _write_json(found, places.details)
    return headlines


def _write_json(value: Any, path: Path) -> None:
    with atomic_file(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n")
