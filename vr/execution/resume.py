"""Rows of a long computation, saved as they finish: an interruption costs one shard, the next run computes the rest.

A shard is a small Parquet file of finished rows, in the order in which they finished, each with its index. Its name is
a checksum of its bytes and its folder, so one that was cut, changed or put there from elsewhere is found out, and its
rows are computed again. Which work folder belongs to which inputs (vr/execution/work_folder.py) and what the rows mean
is the caller's business.
"""

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.files import atomic_file, remove

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
        ValueError: a row cannot be stored; says which.
        RuntimeError: `compute` ended without all rows, or gave one that was not asked for.
    """
    indexed = {"index": pl.Int64, **columns}
    missing = set(range(total))
    shards = _saved(folder, missing, indexed)
    if shards:
        logger.info("going on: %d of %d rows were done before", total - len(missing), total)
    if missing:
        shards |= _save(folder, compute(sorted(missing)), missing, indexed, shard_rows)
    for begin in range(0, total, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, total)
        files = [file for file, indices in shards.items() if min(indices) < end and max(indices) >= begin]
        frames = [pl.read_parquet(file).filter(pl.col("index").is_between(begin, end - 1)) for file in files]
        yield pl.concat(frames).sort("index").drop("index")


def write(folder: Path, total: int, compute: Compute, table: Path, schema: type[dy.Schema], *, shard_rows: int) -> None:
    """Write the rows of `resume` as a validated table.

    Raises:
        OSError, RuntimeError: as `resume`.
        ValueError: as `resume`; a row breaks the schema, see `parquet.write_batches`.
    """
    frames = resume(folder, total, compute, parquet.types(schema), shard_rows=shard_rows)
    parquet.write_batches(frames, table, schema)


def blocks(indices: Sequence[int], size: int, total: int) -> Iterator[list[int]]:
    """Every block of `size` indices (of 0 .. total - 1) that holds one of `indices`, each block whole.

    For work that is done a block at a time and must not depend on where an earlier run stopped.
    """
    for block in sorted({index // size for index in indices}):
        yield list(range(block * size, min((block + 1) * size, total)))


def _saved(folder: Path, missing: set[int], columns: Mapping[str, Any]) -> dict[Path, list[int]]:
    """The shards in the folder, each with the indices of its rows, which are taken out of `missing`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for file in sorted(folder.glob("*.parquet")):
        try:
            found[file] = _indices(file, missing, columns)
        except (pl.exceptions.PolarsError, ValueError, OSError) as error:
            logger.warning("%s: not usable, its rows are computed again (%s)", file, error)
            remove(file)
        else:
            missing.difference_update(found[file])
    return found


def _indices(file: Path, missing: set[int], columns: Mapping[str, Any]) -> list[int]:
    if not file.is_file():  # a pipe, say, from which reading would never end
        raise ValueError("it is no file")
    content = file.read_bytes()
    if file.name != _name(file.parent, content):
        raise ValueError("its name is not its checksum")
    indices: list[int] = pl.read_parquet(content, schema=columns)["index"].to_list()
    if not indices or len(set(indices)) < len(indices) or not missing.issuperset(indices):
        raise ValueError("its rows are not asked for, or come twice")
    return indices


def _save(
    folder: Path,
    computed: Iterable[tuple[int, Row]],
    missing: set[int],
    columns: Mapping[str, Any],
    shard_rows: int,
) -> dict[Path, list[int]]:
    """Write rows as shards while they come. Returns the files, each with the indices of its rows."""
    shards: dict[Path, list[int]] = {}
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
                shards |= _write_shard(folder, rows, columns)
    finally:
        if held:
            shards |= _write_shard(folder, held, columns)
    if missing:
        raise RuntimeError(f"{len(missing)} rows were not computed, the first: {min(missing)}")
    return shards


def _write_shard(folder: Path, rows: Sequence[Row], columns: Mapping[str, Any]) -> dict[Path, list[int]]:
    content = _as_parquet(rows, columns)
    file = folder / _name(folder, content)
    with atomic_file(file) as part:
        part.write_bytes(content)
    return {file: [row["index"] for row in rows]}


def _name(folder: Path, content: bytes) -> str:
    checksum = hashlib.sha256(folder.as_posix().encode() + b"\0" + content)
    return f"{checksum.hexdigest()}.parquet"


def _as_parquet(rows: Sequence[Row], columns: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    try:
        pl.DataFrame(rows, schema=dict(columns), orient="row").write_parquet(content)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        if len(rows) > 1:  # which of them?
            for row in rows:
                _as_parquet([row], columns)
        raise ValueError(f"row {rows[0]['index']} cannot be stored: {str(error).splitlines()[0]}") from error
    return content.getvalue()
