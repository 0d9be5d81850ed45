"""Finding rows by their problem, and what the name of a table says about its rows.

Reading and validating are vr/tables/parquet.py's; this module alone knows `problem_id` and the names of tables.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Generic, TypeVar, cast

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.schemas import ProblemKey, Problems, Subset
from vr.tables.vocabulary import PROPOSALS

T = TypeVar("T", bound=ProblemKey)


class ByProblem(Generic[T]):
    """A table whose rows are asked for by problem and read one row group at a time.

    Asking for problems in about the order of the file reads each row group once. Another order reads more, and gives
    the same rows. Memory: two row groups.
    """

    def __init__(self, path: str | Path, schema: type[T], columns: Sequence[str]) -> None:
        """Open the table.

        Args:
            columns: what to read; the table's key is among them.

        Raises:
            FileNotFoundError, ValueError: as `parquet.read`; a duplicate key is found here.
        """
        part = parquet.part_of(schema, columns, path)
        self._groups = _groups_of_problems(path, schema)
        self._no_rows = part.create_empty()
        self._read_group = lru_cache(maxsize=2)(partial(parquet.read_row_group, path, part, None))

    def rows(self, problem_ids: Sequence[str]) -> dy.DataFrame[T]:
        """All rows of these problems, in the order of the file; none for a problem that the table lacks."""
        indices = sorted({index for problem_id in problem_ids for index in self._groups.get(problem_id, [])})
        wanted = pl.col("problem_id").is_in(problem_ids)
        found = pl.concat([self._no_rows, *(self._read_group(index).filter(wanted) for index in indices)])
        return cast(dy.DataFrame[T], found)


def _groups_of_problems(path: str | Path, schema: type[ProblemKey]) -> dict[str, list[int]]:
    """The row groups in which each problem has rows."""
    ids = parquet.read(path, schema, schema.primary_key())["problem_id"]
    groups: dict[str, list[int]] = {}
    begin = 0
    for index, n_rows in enumerate(parquet.row_group_sizes(path)):
        for problem_id in ids.slice(begin, n_rows).unique():
            groups.setdefault(problem_id, []).append(index)
        begin += n_rows
    return groups


def problems_of(
    problems: str | Path, subset: str | Path, columns: Sequence[str] | None = None
) -> dy.DataFrame[Problems]:
    """The problems of a subset, in the order of the table of problems.

    Args:
        problems: a table of `schemas.Problems`.
        subset: a table of `schemas.Subset`.
        columns: what to read, problem_id among it; None: all.

    Raises:
        FileNotFoundError, ValueError: as `parquet.read`; a problem of the subset that the table lacks.
    """
    return cast(dy.DataFrame[Problems], pl.concat(problem_batches_of(problems, subset, columns)))


def problem_batches_of(
    problems: str | Path, subset: str | Path, columns: Sequence[str] | None = None
) -> Iterator[dy.DataFrame[Problems]]:
    """`problems_of` a row group at a time: memory for one of them."""
    wanted = parquet.read(subset, Subset)["problem_id"]
    there = parquet.read(problems, Problems, ("problem_id",))["problem_id"]
    if len(lost := wanted.filter(~wanted.is_in(there.to_list()))):
        raise ValueError(f"{problems}: {len(lost)} problem(s) of {subset} are missing, the first: {lost[0]!r}")
    for batch in parquet.read_batches(problems, Problems, columns):
        yield cast(dy.DataFrame[Problems], batch.filter(pl.col("problem_id").is_in(wanted.to_list())))


def rows_per_problem(path: str | Path, schema: type[ProblemKey]) -> int:
    """How many rows each problem has, where all have the same number.

    Raises:
        ValueError: they do not.
    """
    rows = parquet.read(path, schema, schema.primary_key()).group_by("problem_id").len()
    if rows["len"].n_unique() != 1:
        raise ValueError(f"{path}: {rows['len'].min()} to {rows['len'].max()} rows a problem, not the same for all")
    return int(rows["len"][0])


def with_problems(rows: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Each row with the columns of its problem, in the order of `rows`.

    Raises:
        ValueError: a row whose problem is missing.
    """
    if lost := rows.join(problems, on="problem_id", how="anti")["problem_id"].to_list():
        raise ValueError(f"problems: problem_id {lost[0]!r} of a row is missing")
    return rows.join(problems, on="problem_id", how="left", validate="m:1", maintain_order="left")


def seed_of(path: str | Path) -> int:
    """The seed in a table's name, as 3 in `traces/posterior/seed=3.parquet`.

    Raises:
        ValueError: the name is of another form.
    """
    match = re.fullmatch(r"seed=(\d+)\.parquet", Path(path).name)
    if match is None:
        raise ValueError(f"{path}: the table's name should be seed=N.parquet")
    return int(match.group(1))


def proposal_of(path: str | Path) -> str:
    """The proposal in a table's path, as `posterior` in `traces/posterior/seed=3.parquet`.

    Raises:
        ValueError: the folder has another name.
    """
    name = Path(path).parent.name
    if name not in PROPOSALS:
        raise ValueError(f"{path}: the table's folder should be one of {', '.join(PROPOSALS)}")
    return name
