"""The table of results, for a terminal and for Markdown, out of what `metrics.headlines` found."""

from collections.abc import Mapping
from typing import Any

_COLUMNS = ("benchmark", "model", "Avg@n", "95 % interval", "n", "questions", "Pass@k", "unjudged wrong to right")


def markdown(headlines: Mapping[str, Mapping[str, Any]]) -> str:
    """One row per benchmark and model, in percent. The last column is there only where answers were not judged.

    Args:
        headlines: `<benchmark>.<model>` as in metrics.json.
    """
    rows = [_row(benchmark, model, entry) for benchmark, models in headlines.items() for model, entry in models.items()]
    n_columns = len(_COLUMNS) if any(row[-1] for row in rows) else len(_COLUMNS) - 1
    table = [row[:n_columns] for row in (_COLUMNS, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [_line(row, widths) for row in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(benchmark: str, model: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    questions = str(entry["questions"])
    if "avg_at_n" not in entry:
        return benchmark, model, "not judged", "", "", questions, "", ""
    sign = "+" if model.startswith("final_minus_") else ""
    percent = {name: f"{100 * value:{sign}.1f}" for name, value in entry.items() if isinstance(value, float)}
    interval = f"{percent['ci_low']} to {percent['ci_high']}"
    unjudged = f"{percent['avg_at_n_at_least']} to {percent['avg_at_n_at_most']}" if "avg_at_n_at_most" in entry else ""
    passes = ", ".join(f"@{k} {100 * value:.1f}" for k, value in entry.get("pass_at_k", {}).items())
    n = str(entry.get("n", ""))
    return benchmark, model.replace("_", " "), percent["avg_at_n"], interval, n, questions, passes, unjudged


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
