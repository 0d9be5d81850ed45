"""Training questions of the user's own: one Parquet or JSONL file, a row for each question.

| column | |
|---|---|
| question | x, as the user turn |
| trace | z*, the thought |
| solution | y*, the answer that follows the thought |
| verifier | math, choice, stdin, call, asserts, reasoning_gym, or none (vr/verify/README.md) |
| reference | text that math and choice compare with; others may leave it out |
| tests | JSON text for the other verifiers; math may have it too |
| system | optional: the row's own system prompt |
| problem_id | optional: the row's name, unique in the file; otherwise its number, from 1 |

A file with a bad row is refused as a whole, with the number and the column of each.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from vr.renderers import markers
from vr.renderers.model_directory import in_one_line
from vr.settings.sources import Table
from vr.sources.loaded import COLUMNS, Loaded
from vr.tables import schemas
from vr.tables.vocabulary import VERIFIERS

Row = dict[str, Any]

REQUIRED = ("question", "trace", "solution", "verifier")
OPTIONAL = ("reference", "tests", "system", "problem_id")
_NEEDED = {"math": "reference", "choice": "reference"} | dict.fromkeys(
    ("stdin", "call", "asserts", "reasoning_gym"), "tests"
)
"""The column without which a verifier can judge nothing."""
_SHOWN_FAULTS = 20


def load(settings: Table) -> Loaded:
    """All rows of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, lacks a column or has another one, has no rows, or has bad rows: all are named.
    """
    path = Path(settings.path)
    rows = _read(path)
    names = dict.fromkeys(name for row in rows for name in row)
    if missing := [name for name in REQUIRED if name not in names]:
        raise ValueError(f"{path}: column {missing[0]!r} is missing (there are: {', '.join(names) or 'none'})")
    if unknown := [name for name in names if name not in REQUIRED + OPTIONAL]:
        raise ValueError(f"{path}: column {unknown[0]!r} is unknown (known are: {', '.join(REQUIRED + OPTIONAL)})")
    if faults := [f"row {n}: {fault}" for n, row in enumerate(rows, start=1) for fault in _faults(row)]:
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise ValueError(f"{path}: {'; '.join(faults[:_SHOWN_FAULTS])}{more}")
    problems = [_problem(settings.name, row, n) for n, row in enumerate(rows, start=1)]
    _require_unique([problem["problem_id"] for problem in problems], path)
    return Loaded(pl.DataFrame(problems, schema=COLUMNS), schemas.LeftOut.create_empty())


def _problem(name: str, row: Row, n: int) -> Row:
    return {
        "problem_id": f"{name}/{row.get('problem_id') or n}",
        "source": name,
        "question": row["question"],
        "system": row.get("system"),
        "reference": row.get("reference"),
        "verifier": row["verifier"],
        "tests": row.get("tests"),
        "solution": markers.join_response(row["trace"], row["solution"]),
    }


def _require_unique(problem_ids: list[str], path: Path) -> None:
    if twice := [problem_id for problem_id, n in Counter(problem_ids).items() if n > 1]:
        rows = [str(n) for n, problem_id in enumerate(problem_ids, start=1) if problem_id == twice[0]]
        raise ValueError(f"{path}: rows {' and '.join(rows)}: problem_id {twice[0]!r} names them all")


# What is wrong with a row


def _faults(row: Row) -> Iterator[str]:
    """Each bad value, as `column: what is wrong with it`."""
    for column in REQUIRED + OPTIONAL:
        value = row.get(column)
        if value is not None and not isinstance(value, str):
            yield f"{column}: should be text, not {type(value).__name__}"
        elif value is None or not value.strip():
            if column in REQUIRED:
                yield f"{column}: empty"
        elif column in ("trace", "solution") and (found := [mark for mark in markers.MARKERS if mark in value]):
            yield f"{column}: holds {found[0]}: the format's markers are added here"
        elif column == "verifier" and value not in VERIFIERS:
            yield f"verifier: {value!r} is none of {', '.join(VERIFIERS)}"
        elif column == "tests" and not _is_json(value):
            yield "tests: not JSON"
    needed = _NEEDED.get(str(row.get("verifier")))
    if needed and not row.get(needed):
        yield f"{needed}: empty, but verifier {row['verifier']} needs it"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# Reading


def _read(path: Path) -> list[Row]:
    """The rows with all their columns.

    They are read here and not by hub.rows because each value of JSON has to keep its own type: a number among texts
    is a fault of its row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (problems.table.path)")
    if path.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"{path}: should be a .parquet or .jsonl file")
    rows = _parquet(path) if path.suffix == ".parquet" else list(_json_lines(path))
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


def _parquet(path: Path) -> list[Row]:
    try:
        return pl.read_parquet(path).to_dicts()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path}: not a readable Parquet file: {in_one_line(error)}") from error


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for n, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}: row {n}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}: row {n}: should be an object of columns and values")
            yield row
