"""Rows of a long step, saved as they come: an interruption costs one shard, and the next run does what is missing.

A shard is a small Parquet file with finished rows, in whatever order they finished, each with its number. What the
rows mean, and which folder belongs to which inputs (vr/work.py), is the caller's business.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.files import atomic_file

logger = logging.getLogger(__name__)

Row = dict[str, Any]
BLOCK_ROWS = 512
"""Rows of a frame that is handed on: a constant, so that a table's row groups do not depend on how it was made."""
SAVE_SECONDS = 60.0
"""A shard is saved at least this often, however few rows have finished."""


def rows(
    folder: Path,
    total: int,
    make: Callable[[list[int]], Iterable[tuple[int, Row]]],
    columns: Mapping[str, Any],
    *,
    shard_rows: int,
) -> Iterator[pl.DataFrame]:
    """Rows 0 .. total - 1 in the order of their numbers, `BLOCK_ROWS` a frame, in memory for one shard and one frame.

    Rows that an earlier run saved in `folder` are taken from there. The others come from `make(their numbers)`, as
    pairs of number and row in any order; `shard_rows` of them are saved together, or what there is after a minute,
    and what has finished before an error is saved too.

    Args:
        columns: name and Polars type of each entry of a row.

    Raises:
        OSError: a shard cannot be written (a full disk).
        RuntimeError: `make` ended without all rows, or gave one that was not asked for.
    """
    numbered = {"number": pl.Int64, **columns}
    spans = _saved(folder, numbered)
    done = {number for numbers in spans.values() for number in numbers}
    missing = [number for number in range(total) if number not in done]
    if spans:
        logger.info("going on: %d of %d rows were done before", total - len(missing), total)
    if missing:
        spans |= _save(folder, make(missing), set(missing), numbered, shard_rows)
    for begin in range(0, total, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, total)
        files = [file for file, numbers in spans.items() if min(numbers) < end and max(numbers) >= begin]
        frames = [pl.read_parquet(file).filter(pl.col("number").is_between(begin, end - 1)) for file in files]
        yield pl.concat(frames).sort("number").drop("number")


def write(
    folder: Path,
    total: int,
    make: Callable[[list[int]], Iterable[tuple[int, Row]]],
    table: Path,
    schema: type[dy.Schema],
    *,
    shard_rows: int,
) -> None:
    """The table of `rows`, validated and written by `parquet.write_batches`.

    Raises:
        OSError, RuntimeError: as `rows`.
        ValueError: as `parquet.write_batches`.
    """
    frames = rows(folder, total, make, parquet.types(schema), shard_rows=shard_rows)
    parquet.write_batches(frames, table, schema)


def blocks(numbers: Sequence[int], size: int, total: int) -> Iterator[list[int]]:
    """All numbers of every block of `size` (of 0 .. total - 1) in which one of `numbers` lies, block by block.

    For work that is done a block at a time and must not depend on where an earlier run stopped.
    """
    for block in sorted({number // size for number in numbers}):
        yield list(range(block * size, min((block + 1) * size, total)))


def _saved(folder: Path, columns: Mapping[str, Any]) -> dict[Path, list[int]]:
    """The shards in the folder and the numbers of their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for file in sorted(folder.glob("*.parquet")):
        try:
            found[file] = pl.read_parquet(file, schema=columns)["number"].to_list()
        except (pl.exceptions.PolarsError, OSError) as error:  # half a file, after a power cut
            logger.warning("%s: not readable, its rows are made again (%s)", file, error)
            file.unlink()
    return found


def _save(
    folder: Path,
    made: Iterable[tuple[int, Row]],
    missing: set[int],
    columns: Mapping[str, Any],
    shard_rows: int,
) -> dict[Path, list[int]]:
    """Write rows as shards as they come; the files and the numbers in them."""
    shards: dict[Path, list[int]] = {}
    held: list[Row] = []
    file_number = itertools.count(max((int(file.stem) + 1 for file in folder.glob("*.parquet")), default=0))

    def save() -> None:
        file = folder / f"{next(file_number):06}.parquet"
        try:
            with atomic_file(file) as part:
                pl.DataFrame(held, schema=dict(columns), orient="row").write_parquet(part)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise OSError(f"{file}: cannot be written: {error}") from error
        else:
            shards[file] = [row["number"] for row in held]
        finally:
            held.clear()

    saved_at = time.monotonic()
    try:
        for number, row in made:
            if number not in missing:
                raise RuntimeError(f"row {number} was not asked for, or comes twice")
            missing.remove(number)
            held.append({"number": number, **row})
            if len(held) >= shard_rows or time.monotonic() - saved_at > SAVE_SECONDS:
                save()
                saved_at = time.monotonic()
    finally:
        if held:
            save()
    if missing:
        raise RuntimeError(f"{len(missing)} rows were not made, the first: {min(missing)}")
    return shards
