"""Training questions: which source makes which, and how several are mixed.

Knows the names of the sources alone; what is in them, and how it is made, is each source's own module.
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from vr.settings import params
from vr.sources import bespoke_stratos, gsm8k, gym, miniature, table
from vr.sources.loaded import COLUMNS, Loaded
from vr.tables import parquet, schemas

SOURCES: dict[str, Callable[[Any], Loaded]] = {
    "miniature": miniature.load,
    "bespoke_stratos": bespoke_stratos.load,
    "gsm8k": gsm8k.load,
    "gym": gym.load,
    "table": table.load,
}
"""Maps a source's name to the function that makes its rows from its entry in the section `problems`."""


def load(settings: params.Problems) -> Loaded:
    """The questions of all sources that the settings name, in that order.

    A question that an earlier source has too is left out, with the reason. Questions are equal if their characters
    are, but for the form of Unicode (NFC) and white space. One that stands twice in one source stays: it is in the
    authors' data twice.

    Raises:
        ValueError: two sources have one problem_id for different questions; no question is left; what a source raises.
        OSError: a source's file cannot be read.
    """
    problems, left_out = pl.DataFrame(schema=COLUMNS), pl.DataFrame(schema=parquet.types(schemas.LeftOut))
    for name in settings.sources:
        loaded = _validated(SOURCES[name](getattr(settings, name)), name)
        repeated = _repeated(loaded.problems, problems)
        new = loaded.problems.join(
            repeated, left_on="problem_id", right_on="source_row", how="anti", maintain_order="left"
        )
        _require_other_ids(new, problems, name)
        problems = pl.concat([problems, new])
        left_out = pl.concat([left_out, loaded.left_out, repeated])
    if problems.is_empty():
        why = ", the first: {}: {}".format(*left_out.row(0)[1:3]) if left_out.height else ""
        raise ValueError(f"problems.sources: no question is left of {left_out.height} row(s){why}")
    return Loaded(problems, parquet.validate(left_out, schemas.LeftOut, "rows left out"))


def _validated(loaded: Loaded, name: str) -> Loaded:
    """The same with the columns' order and types."""
    problems = parquet.validate(
        loaded.problems.with_columns(self_check=pl.lit(None)), schemas.Problems, f"problems of {name}"
    )
    left_out = parquet.validate(loaded.left_out, schemas.LeftOut, f"rows left out of {name}")
    return Loaded(problems.drop("self_check"), left_out)


def _repeated(new: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Rows of schemas.LeftOut for those questions of a source that earlier sources have."""
    firsts = earlier.select(_normalised().alias("text"), first="problem_id").unique("text", keep="first")
    found = new.with_columns(_normalised().alias("text")).join(firsts, on="text", how="inner", maintain_order="left")
    return found.select(
        "source", source_row="problem_id", reason=pl.format("duplicate of {}", "first"), question="question"
    )


def _normalised() -> pl.Expr:
    return pl.col("question").str.normalize("NFC").str.replace_all(r"\s+", " ").str.strip_chars()


def _require_other_ids(new: pl.DataFrame, earlier: pl.DataFrame, name: str) -> None:
    clash = new.join(earlier, on="problem_id", how="semi")["problem_id"].to_list()
    if clash:
        raise ValueError(f"problems.{name}: problem_id {clash[0]!r} is also one of an earlier source's questions")
