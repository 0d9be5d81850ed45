"""The table of results, for a terminal and for Markdown, out of what `metrics.headlines` found."""

from collections.abc import Mapping
from typing import Any

_COLUMNS = ("benchmark", "model", "Avg@n", "95 % interval", "n", "questions", "Pass@k")


def markdown(headlines: Mapping[str, Mapping[str, Any]]) -> str:
    """One row per benchmark and model, in percent.

    Args:
        headlines: `<benchmark>.<model>` as in metrics.json.
    """
    rows = [_row(benchmark, model, entry) for benchmark, models in headlines.items() for model, entry in models.items()]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [_line(row, widths) for row in (_COLUMNS, *rows)]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(benchmark: str, model: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    questions = str(entry["questions"])
    if "avg_at_n" not in entry:
        return benchmark, model, "not judged", "", "", questions, ""
    sign = "+" if model == "final_minus_initial" else ""
    avg, low, high = (f"{100 * entry[name]:{sign}.1f}" for name in ("avg_at_n", "ci_low", "ci_high"))
    passes = ", ".join(f"@{k} {100 * value:.1f}" for k, value in entry.get("pass_at_k", {}).items())
    return benchmark, model.replace("_", " "), avg, f"{low} to {high}", str(entry.get("n", "")), questions, passes


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
