"""Rows of a long computation, saved as they finish: an interruption costs one shard, the next run computes the rest.

A shard is a small Parquet file of finished rows, in the order in which they finished, each with its index. Which work
folder belongs to which inputs (vr/execution/work_folder.py) and what the rows mean is the caller's business.
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
Compute = Callable[[list[int]], Iterable[tuple[int, Row]]]
"""Takes the indices of the rows that are missing; gives pairs of index and row, in any order."""
BLOCK_ROWS = 512
"""Rows of a frame that is handed on. A constant: a table's row groups must not depend on how the table was made."""
SAVE_SECONDS = 60.0
"""A shard is saved at least this often, however few rows have finished."""


def resume(
    folder: Path, total: int, compute: Compute, columns: Mapping[str, Any], *, shard_rows: int
) -> Iterator[pl.DataFrame]:
    """Rows 0 .. total - 1 in the order of their indices, `BLOCK_ROWS` a frame, in memory for one shard and one frame.

    Rows that an earlier run saved in `folder` are read from there, and `compute` gives the others. `shard_rows` of
    them are saved together, or those of one minute if that comes first. Rows that finished before an error are saved.

    Args:
        columns: name and Polars type of each entry of a row.

    Raises:
        OSError: a shard cannot be written (a full disk).
        RuntimeError: `compute` ended without all rows, or gave one that was not asked for.
    """
    indexed = {"index": pl.Int64, **columns}
    shards = _saved(folder, indexed)
    done = {index for indices in shards.values() for index in indices}
    missing = [index for index in range(total) if index not in done]
    if shards:
        logger.info("going on: %d of %d rows were done before", total - len(missing), total)
    if missing:
        shards |= _save(folder, compute(missing), set(missing), indexed, shard_rows)
    for begin in range(0, total, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, total)
        files = [file for file, indices in shards.items() if min(indices) < end and max(indices) >= begin]
        frames = [pl.read_parquet(file).filter(pl.col("index").is_between(begin, end - 1)) for file in files]
        yield pl.concat(frames).sort("index").drop("index")


def write(folder: Path, total: int, compute: Compute, table: Path, schema: type[dy.Schema], *, shard_rows: int) -> None:
    """Write the rows of `resume` as a validated table.

    Raises:
        OSError, RuntimeError: as `resume`.
        ValueError: a row breaks the schema, see `parquet.write_batches`.
    """
    frames = resume(folder, total, compute, parquet.types(schema), shard_rows=shard_rows)
    parquet.write_batches(frames, table, schema)


def blocks(indices: Sequence[int], size: int, total: int) -> Iterator[list[int]]:
    """Every block of `size` indices (of 0 .. total - 1) that holds one of `indices`, each block whole.

    For work that is done a block at a time and must not depend on where an earlier run stopped.
    """
    for block in sorted({index // size for index in indices}):
        yield list(range(block * size, min((block + 1) * size, total)))


def _saved(folder: Path, columns: Mapping[str, Any]) -> dict[Path, list[int]]:
    """The shards in the folder, each with the indices of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for file in sorted(folder.glob("*.parquet")):
        try:
            found[file] = pl.read_parquet(file, schema=columns)["index"].to_list()
        except (pl.exceptions.PolarsError, OSError) as error:  # half a file, after a power cut
            logger.warning("%s: not readable, its rows are computed again (%s)", file, error)
            file.unlink()
    return found


def _save(
    folder: Path,
    computed: Iterable[tuple[int, Row]],
    missing: set[int],
    columns: Mapping[str, Any],
    shard_rows: int,
) -> dict[Path, list[int]]:
    """Write rows as shards while they come. Returns the files, each with the indices of its rows."""
    shards: dict[Path, list[int]] = {}
    names = itertools.count(max((int(file.stem) + 1 for file in folder.glob("*.parquet")), default=0))
    held: list[Row] = []
    saved_at = time.monotonic()
    try:
        for index, row in computed:
            if index not in missing:
                raise RuntimeError(f"row {index} was not asked for, or comes twice")
            missing.remove(index)
            held.append({"index": index, **row})
            if len(held) >= shard_rows or time.monotonic() - saved_at > SAVE_SECONDS:
                rows, held, saved_at = held, [], time.monotonic()
                shards |= _write_shard(folder / f"{next(names):06}.parquet", rows, columns)
    finally:
        if held:
            shards |= _write_shard(folder / f"{next(names):06}.parquet", held, columns)
    if missing:
        raise RuntimeError(f"{len(missing)} rows were not computed, the first: {min(missing)}")
    return shards


def _write_shard(file: Path, rows: Sequence[Row], columns: Mapping[str, Any]) -> dict[Path, list[int]]:
    try:
        with atomic_file(file) as part:
            pl.DataFrame(rows, schema=dict(columns), orient="row").write_parquet(part)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise OSError(f"{file}: cannot be written: {error}") from error
    return {file: [row["index"] for row in rows]}
