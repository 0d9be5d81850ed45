"""The report of a run as files: metrics.json, details.json, the figures' data and a picture."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vr.method.weights import summary
from vr.report import figures, metrics
from vr.report.figures import Traces
from vr.report.picture import pass_at_k_svg
from vr.settings.params import Report
from vr.tables.files import atomic_file, atomic_folder


@dataclass(frozen=True)
class Places:
    """Where the report is written."""

    metrics: Path
    """JSON: the headline numbers"""
    details: Path
    """JSON: all other counts"""
    plots: Path
    """folder of CSV files and a picture, replaced as a whole"""


def write(
    evals: metrics.EvalsOf,
    traces: Traces,
    settings: Report,
    places: Places,
) -> metrics.Headlines:
    """Write the report.

    Args:
        evals: the evaluation of each (model, benchmark).
        traces: what is known of the weighed traces.

    Returns:
        The headlines, for `results_table.markdown`.

    Raises:
        ValueError: a weighed trace is missing from another table of `traces`.
    """
    headlines = metrics.headlines(evals, settings)
    points, plotted = figures.trace_points(traces, settings.seed)
    with atomic_folder(places.plots) as folder:
        pass_at_k = figures.pass_at_k_points(headlines)
        pass_at_k.write_csv(folder / "pass_at_k.csv")
        (folder / "pass_at_k.svg").write_text(pass_at_k_svg(pass_at_k))
        points.write_csv(folder / "traces.csv")
        figures.ess_histogram(traces.weights).write_csv(folder / "effective_sample_size.csv")
    _write_json(headlines, places.metrics)
    found = {"evals": metrics.details(evals, settings), "weights": summary(traces.weights), "figure_4": plotted}
    _write_json(found, places.details)
    return headlines


def _write_json(value: Any, path: Path) -> None:
    with atomic_file(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n")
