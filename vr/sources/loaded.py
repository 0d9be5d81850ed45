"""What a source of training questions gives: the questions, and the rows that are none."""

from dataclasses import dataclass

import polars as pl

from vr.tables import parquet, schemas

COLUMNS = {name: dtype for name, dtype in parquet.types(schemas.Problems).items() if name != "self_check"}
"""Name and type of every column that a source fills; the stage `problems` adds the verdict."""


@dataclass(frozen=True)
class Loaded:
    """The rows of one source, or of several mixed."""

    problems: pl.DataFrame
    """rows of schemas.Problems with COLUMNS"""
    left_out: pl.DataFrame
    """rows of schemas.LeftOut; of a source that uses all its rows, `schemas.LeftOut.create_empty()`"""
