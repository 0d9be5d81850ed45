"""Columns of outside sets that have to be text."""

from collections.abc import Sequence

import polars as pl


def as_text(table: pl.DataFrame, columns: Sequence[str], where: str) -> pl.DataFrame:
    """The table with these columns as text; one without any value has no type of its own.

    Raises:
        ValueError: a column holds something else.
    """
    for column in columns:
        if table.schema[column] not in (pl.String, pl.Null):
            raise ValueError(f"{where}: column {column!r} should hold text, not {table.schema[column]}")
    return table.with_columns(pl.col(columns).cast(pl.String))
