"""Which row of which source set each question was made from.

A set of names says it (`numina/17`: row 17 of numina); a name counts only where that row is the same question.
Otherwise the words before a question tell mathematics (numina), programs (apps or taco) and the rest (ruc), and its row
is the one with the same text. Rows of one text are taken in their order. A program that stands in both apps and taco is
of apps before the first question of ruc and of taco after it: the sets follow one another as numina, apps, ruc, taco.

Texts are the same if their characters are, but for the form of Unicode (NFC) and white space.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from vr.settings.sources import BespokeStratos
from vr.sources import hub
from vr.sources.bespoke_stratos.text import as_text
from vr.sources.wordings import FUNCTION_BODY, IN_A_BOX, STDIN

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceSet:
    """How a source set lies on the hub."""

    config: str | None
    splits: tuple[str, ...]
    """read one after another, and rows are counted through all of them; those after the first may be missing"""
    question: tuple[str, ...]
    """columns whose texts, joined, are the question"""


SETS = {
    "numina": SourceSet(None, ("train",), ("problem",)),
    "apps": SourceSet("all", ("test",), ("question", "starter_code")),
    "taco": SourceSet("ALL", ("train", "test"), ("question", "starter_code")),
    "ruc": SourceSet(None, ("train",), ("question",)),
}
KINDS = {"math": IN_A_BOX, "stdin": STDIN, "call": FUNCTION_BODY}
"""Verifier that a question asks for, and the words before it. Questions of ruc have none before them."""
_NAME = rf"^(?:{'|'.join(SETS)})/\d{{1,9}}$"
_IS_PROGRAM = pl.col("kind").is_in(["stdin", "call"])


def attributed(questions: pl.DataFrame, names: pl.Series | None, settings: BespokeStratos) -> pl.DataFrame:
    """The questions, in their order, with where they come from.

    Added: kind (one of KINDS, or null), source (one of SETS), row (its number in that set) and match_method. Where no
    row was found, row and match_method are null. Without its set, a name is taken as it is and no text is found.

    Args:
        questions: problem_id and question, and any other columns.
        names: of each question's row, as `numina/17`.

    Raises:
        ValueError: a name is none, or is contradicted by the words before the question; a set has none of its
            questions; a set cannot be read (vr/sources/hub.py).
        FileNotFoundError: as vr/sources/hub.py.
    """
    rows = questions.with_row_index("place").with_columns(kind=_kind()).with_columns(text=_question_text())
    rows = rows.with_columns(source=_by_words(), named=pl.lit(None, pl.UInt32), in_both=pl.lit(False))
    if names is None:
        sets = ["apps", "taco"] if rows.select(_IS_PROGRAM.any()).item() else []
        texts = _texts({*rows["source"], *sets}, settings)
        rows = _apps_or_taco(rows, texts)
    else:
        rows = _named(rows, names, str(settings.names))
        texts = _texts(set(rows["source"]), settings)
    parts = [_matched(part, str(source), texts, settings) for (source,), part in rows.group_by("source")]
    return pl.concat(parts).sort("place").drop("place", "text", "named", "in_both")


def read(source: str, where: str, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of text of all rows of a source set, in the order that rows are counted in.

    Raises:
        FileNotFoundError, ValueError: it cannot be read (vr/sources/hub.py), or a column is no text.
    """
    layout = SETS[source]
    tables = [hub.rows(where, revision=None, config=layout.config, split=layout.splits[0], columns=columns)]
    for split in () if Path(where).is_file() else layout.splits[1:]:
        try:
            tables.append(hub.rows(where, revision=None, config=layout.config, split=split, columns=columns))
        except FileNotFoundError as error:
            logger.warning("%s: read without its split %s: %s", source, split, error)
    return pl.concat(as_text(table, columns, where) for table in tables)


# Which set


def _kind() -> pl.Expr:
    kind: Any = pl.lit(None, pl.String)
    for name, words in KINDS.items():
        kind = pl.when(pl.col("question").str.starts_with(words)).then(pl.lit(name)).otherwise(kind)
    return kind


def _question_text() -> pl.Expr:
    words = pl.col("kind").replace_strict(KINDS, default="")
    return _normalised(pl.col("question").str.strip_prefix(words))


def _normalised(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFC").str.replace_all(r"\s+", "")


def _by_words() -> pl.Expr:
    """The set that a question is from by its words and, of apps and taco, by its place."""
    after_ruc = pl.col("kind").is_null().cum_sum() > 0
    program = pl.when(after_ruc).then(pl.lit("taco")).otherwise(pl.lit("apps"))
    other = pl.when(pl.col("kind") == "math").then(pl.lit("numina")).otherwise(pl.lit("ruc"))
    return pl.when(_IS_PROGRAM).then(program).otherwise(other)


def _apps_or_taco(rows: pl.DataFrame, texts: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Programs go to the one set that has them; where both do, or neither, their place decides."""
    none = pl.Series(dtype=pl.String)
    in_apps, in_taco = (
        _IS_PROGRAM & pl.col("text").is_in(texts.get(name, none).implode()) for name in ("apps", "taco")
    )
    only = pl.when(in_apps & ~in_taco).then(pl.lit("apps")).when(in_taco & ~in_apps).then(pl.lit("taco"))
    return rows.with_columns(source=only.otherwise("source"), in_both=in_apps & in_taco)


def _named(rows: pl.DataFrame, names: pl.Series, where: str) -> pl.DataFrame:
    """Rows with the set and the row that each one's name says.

    Raises:
        ValueError: a name is none, or the words before the question say another kind of set.
    """
    unreadable = names.filter(~names.str.contains(_NAME).fill_null(False))
    if unreadable.len():
        raise ValueError(f"{where}: source {unreadable[0]!r} names no row of {', '.join(SETS)} (as numina/17)")
    parts = names.str.split("/").list
    found = rows.with_columns(source=parts.get(0), named=parts.get(1).cast(pl.UInt32), by_words="source")
    kinds = {"apps": "program", "taco": "program"}
    differs = found.filter(pl.col("source").replace(kinds) != pl.col("by_words").replace(kinds))
    if differs.height:
        problem, source, named = differs.select("problem_id", "source", "named").row(0)
        said = f"{problem} is called {source}/{named}, but its question is not of that kind"
        raise ValueError(f"{where}: {said}: the names must be in the order of the data")
    return found.drop("by_words")


# Which row


def _texts(wanted: set[str], settings: BespokeStratos) -> dict[str, pl.Series]:
    """The questions of those sets that the settings have."""
    places = {name: getattr(settings, name) for name in SETS if name in wanted}
    return {name: _texts_of(name, where) for name, where in places.items() if where is not None}


def _texts_of(source: str, where: str) -> pl.Series:
    columns = SETS[source].question
    joined = pl.concat_str(columns, ignore_nulls=True)
    return read(source, where, columns).select(text=_normalised(joined)).to_series()


def _matched(rows: pl.DataFrame, source: str, texts: Mapping[str, pl.Series], settings: BespokeStratos) -> pl.DataFrame:
    """The rows of one set with row and match_method."""
    if source not in texts:
        method = pl.when(pl.col("named").is_not_null()).then(pl.lit("named"))
        return rows.with_columns(row="named", match_method=method)
    of_set = pl.DataFrame({"text": texts[source]}).with_row_index("row")
    named = of_set.select(named="row", named_text="text")
    equal = of_set.group_by("text", maintain_order=True).agg(equal="row")
    found = rows.join(named, on="named", how="left", maintain_order="left")
    found = found.join(equal, on="text", how="left", maintain_order="left")
    found = found.with_columns(_row_and_method()).drop("named_text", "equal")
    _require_some(found, source, of_set.height, getattr(settings, source))
    return found


def _row_and_method() -> list[pl.Expr]:
    is_named = (pl.col("named_text") == pl.col("text")).fill_null(False)
    n_equal = pl.col("equal").list.len()
    nth = pl.min_horizontal(pl.int_range(pl.len()).over("text"), n_equal.cast(pl.Int64) - 1)
    by_text = pl.when(n_equal > 0).then(pl.col("equal").list.get(nth, null_on_oob=True))
    method = pl.when(is_named).then(pl.lit("named")).when(n_equal.is_null()).then(None)
    in_order = method.when((n_equal > 1) | pl.col("in_both")).then(pl.lit("order")).otherwise(pl.lit("text"))
    return [pl.when(is_named).then("named").otherwise(by_text).alias("row"), in_order.alias("match_method")]


def _require_some(found: pl.DataFrame, source: str, n_rows: int, where: str) -> None:
    """Refuse a set that is another one; say how many questions are in none of its rows."""
    missing = found["row"].null_count()
    if missing == found.height:
        raise ValueError(
            f"{where}: none of its {n_rows} rows is one of the {missing} questions of {source}: "
            f"name the set they were made from in problems.bespoke_stratos.{source}, or null"
        )
    if missing:
        logger.warning("%s: %d of %d questions are in no row of %s", source, missing, found.height, where)
