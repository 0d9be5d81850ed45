"""The rows of Bespoke-Stratos made training questions.

Responses stay as the set has them; rows of STILL-2 (ruc) lack the blank line after the solution's begin marker, and the
one splitter (vr/renderers/markers.py) reads both.
"""

from typing import Any

import polars as pl

from vr.renderers.markers import split_response
from vr.settings.sources import BespokeStratos
from vr.sources import hub
from vr.sources.bespoke_stratos import attribution, judging
from vr.sources.bespoke_stratos.text import as_text
from vr.sources.loaded import COLUMNS, Loaded

_NAME = "bespoke_stratos"


def load(settings: BespokeStratos) -> Loaded:
    """The questions with their source rows, references and tests. Rows without two parts are left out, with the reason.

    Raises:
        FileNotFoundError, ValueError: the set, the names or a source set cannot be read (vr/sources/hub.py), or does
            not belong to the others (attribution.py).
    """
    rows, names = _rows_and_names(settings)
    is_whole = rows["reason"].is_null()
    left_out = _left_out(rows.filter(~is_whole))
    if not is_whole.any():
        return Loaded(pl.DataFrame(schema=COLUMNS), left_out)
    names = None if names is None else names.filter(is_whole)
    found = attribution.attributed(rows.filter(is_whole), names, settings)
    judged = judging.judged(found, settings).with_columns(source_row=pl.format("{}/{}", "source", "row"))
    return Loaded(judged.select(list(COLUMNS)), left_out)


def _rows_and_names(settings: BespokeStratos) -> tuple[pl.DataFrame, pl.Series | None]:
    """The rows asked for, as `_turns_read` gives them, and the names of their source rows."""
    table = hub.rows(settings.data, revision=settings.revision, split="train", columns=("system", "conversations"))
    table = as_text(table, ("system",), settings.data)
    _require_conversations(table, settings.data)
    names = _names(settings, table.height)
    size = table.height if settings.rows == "all" else settings.rows
    return _turns_read(table.head(size)), None if names is None else names.head(size)


def _require_conversations(table: pl.DataFrame, where: str) -> None:
    dtype = table.schema["conversations"]
    turn = dtype.inner if isinstance(dtype, pl.List) else None
    found = {field.name: field.dtype for field in turn.fields} if isinstance(turn, pl.Struct) else {}
    if any(found.get(name) != pl.String for name in ("from", "value")):
        raise ValueError(f"{where}: column 'conversations' should hold lists of turns, each with from and value")


def _names(settings: BespokeStratos, n_rows: int) -> pl.Series | None:
    if settings.names is None:
        return None
    table = hub.rows(settings.names, revision=None, split="train", columns=("source",))
    names = as_text(table, ("source",), settings.names).to_series()
    if names.len() != n_rows:
        raise ValueError(f"{settings.names}: {names.len()} names for the {n_rows} rows of {settings.data}")
    return names


# Rows


def _turns_read(table: pl.DataFrame) -> pl.DataFrame:
    """problem_id, system, question, solution, and the reason why a row is no training question (null: it is one)."""
    read = [_read(conversation or []) for (conversation,) in table.select("conversations").iter_rows()]
    turns = pl.DataFrame(read, {"question": pl.String, "solution": pl.String, "reason": pl.String}, orient="row")
    return turns.with_columns(
        system=pl.when(table["system"].str.strip_chars() != "").then(table["system"]),
        problem_id=pl.format(f"{_NAME}/{{}}", pl.int_range(pl.len())),
    )


def _read(conversation: Any) -> tuple[str, str, str | None]:
    """Question, response and reason of one row."""
    turns = [(turn["from"], turn["value"] or "") for turn in conversation if turn is not None]
    if [who for who, _ in turns] != ["user", "assistant"]:
        return "", "", "not one turn of the user and one of the assistant"
    (_, question), (_, response) = turns
    if not question.strip():
        return question, response, "no question"
    try:
        split_response(response)
    except ValueError as error:
        return question, response, f"does not split: {error}"
    return question, response, None


def _left_out(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.lit(_NAME).alias("source"), pl.col("problem_id").alias("source_row"), "reason", "question")
