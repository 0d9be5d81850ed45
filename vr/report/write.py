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
    benchmarks: metrics.OfBenchmarks,
    settings: Report,
    places: Places,
) -> metrics.Headlines:
    """Write the report.

    Args:
        evals: the evaluation of each (model, benchmark).
        traces: what is known of the weighed traces.
        benchmarks: what is known of the questions of each (`metrics.of_benchmarks`).

    Returns:
        The headlines, for `results_table.markdown`.

    Raises:
        ValueError: a weighed trace is missing from another table of `traces`.
        OSError: a file cannot be written (a full disk). All files are then as before.
    """
    headlines = metrics.headlines(evals, settings)
    pass_at_k = figures.pass_at_k_points(headlines)
    points, plotted = figures.trace_points(traces, settings.seed)
    details = {
        "evals": metrics.details(evals, settings),
        "weights": summary(traces.weights),
        "figure_4": plotted,
        "benchmarks": benchmarks,
    }
    files = {
        "pass_at_k.csv": pass_at_k.write_csv(),
        "pass_at_k.svg": pass_at_k_svg(pass_at_k),
        "traces.csv": points.write_csv(),
        "effective_sample_size.csv": figures.ess_histogram(traces.weights).write_csv(),
    }
    _write_all(places, _json(headlines), _json(details), files)
    return headlines


def _write_all(places: Places, headlines: str, details: str, files: dict[str, str]) -> None:
    """Write everything, and only then put it in its places."""
    with (
        atomic_file(places.metrics) as of_headlines,
        atomic_file(places.details) as of_details,
        atomic_folder(places.plots) as of_files,
    ):
        try:
            of_headlines.write_text(headlines)
            of_details.write_text(details)
            for name, text in files.items():
                (of_files / name).write_text(text)
        except OSError as error:  # of a full disk
            where = f"{places.metrics}, {places.details} and {places.plots}"
            raise OSError(f"{where}: cannot be written: {error}") from error


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
