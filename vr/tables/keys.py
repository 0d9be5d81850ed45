"""Finding rows by their problem, and what the path of a table says about its rows.

vr/tables/parquet.py reads and validates, and knows neither `problem_id` nor how paths are made.
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
    return _of_subset(parquet.read(problems, Problems, columns), _ids_of_subset(problems, subset))


def problem_batches_of(
    problems: str | Path, subset: str | Path, columns: Sequence[str] | None = None
) -> Iterator[dy.DataFrame[Problems]]:
    """As `problems_of`, one row group at a time, in memory for one.

    Raises:
        FileNotFoundError, ValueError: as `problems_of`, before the first batch.
    """
    ids = _ids_of_subset(problems, subset)
    return (_of_subset(batch, ids) for batch in parquet.read_batches(problems, Problems, columns))


def _ids_of_subset(problems: str | Path, subset: str | Path) -> dy.DataFrame[Subset]:
    ids = parquet.read(subset, Subset)
    lost = ids.join(parquet.read(problems, Problems, ("problem_id",)), on="problem_id", how="anti")
    if lost.height:
        first = lost["problem_id"][0]
        raise ValueError(f"{problems}: {lost.height} problem(s) of {subset} are missing, the first: {first!r}")
    return ids


def _of_subset(rows: dy.DataFrame[Problems], ids: dy.DataFrame[Subset]) -> dy.DataFrame[Problems]:
    return cast(dy.DataFrame[Problems], rows.join(ids, on="problem_id", how="semi", maintain_order="left"))


def rows_per_problem(path: str | Path, schema: type[ProblemKey]) -> int:
    """How many rows each problem has, where all have the same number.

    Raises:
        ValueError: they do not.
    """
    rows = parquet.read(path, schema, schema.primary_key()).group_by("problem_id").len()
    counts = rows["len"].unique().sort().to_list()
    if len(counts) != 1:
        raise ValueError(f"{path}: problems have different numbers of rows: {', '.join(map(str, counts)) or 'none'}")
    return int(counts[0])


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
        ValueError: the name is of another form, or the seed is more than a column of the table holds.
    """
    match = re.fullmatch(r"seed=([0-9]{1,10})\.parquet", Path(path).name)
    if match is None or int(match.group(1)) >= 2**31:
        raise ValueError(f"{path}: the table's name should be seed=N.parquet with N below {2**31}")
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
