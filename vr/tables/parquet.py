"""Validated tables in Parquet files: whole, or in pieces where a table is larger than memory should be.

zstd, row groups of bounded size. Reading and writing validate: names first, then types, keys and rules; an error
names the file, the column or rule and the first offending key. Knows no table: columns and rules are a dataframely
schema's (vr/tables.py).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from vr.tables.files import atomic_file

ROW_GROUP_BYTES = 16 << 20  # in memory; a reader that streams row groups needs no more than a few of these


def read(path: str | Path, schema: type[dy.Schema], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read and validate a table; with `columns`, only those (and only their own rules).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not Parquet, a missing or unknown column, a wrong type, a duplicate key, a broken rule.
    """
    wanted = _columns_in(Path(path), schema, columns)
    return validate(pl.read_parquet(path, columns=wanted), _only(schema, wanted), str(path))


def read_batches(
    path: str | Path, schema: type[dy.Schema], columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """`read` a row group at a time, in order: memory for one of them. Keys are compared over the whole table.

    Raises:
        FileNotFoundError, ValueError: as `read`; a missing file or column and a duplicate key before the first batch.
    """
    wanted = _only(schema, _columns_in(Path(path), schema, columns))
    if keys := wanted.primary_key():
        read(path, schema, keys)

    def batches() -> Iterator[pl.DataFrame]:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield _row_group(file, number, wanted, path)

    return batches()


def _row_group(file: pq.ParquetFile, number: int, schema: type[dy.Schema], path: str | Path) -> pl.DataFrame:
    """The schema's columns of one row group, validated."""
    frame = pl.DataFrame(file.read_row_group(number, columns=schema.column_names(), use_threads=False))
    return validate(frame, schema, str(path))


class ByProblem:
    """A table whose rows are asked for by problem, read a row group at a time.

    Problems asked for in about the order of the file cost one reading of it; another order costs more, never another
    result. Memory: the last two row groups.
    """

    def __init__(self, path: str | Path, schema: type[dy.Schema], columns: Sequence[str]) -> None:
        """Raises FileNotFoundError, ValueError as `read`."""
        self._path, self._schema = Path(path), _only(schema, _columns_in(Path(path), schema, columns))
        ids = read(path, schema, self._schema.primary_key())["problem_id"]
        self._groups: dict[str, list[int]] = {}
        begin = 0
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                for problem_id in ids.slice(begin, rows).unique():
                    self._groups.setdefault(problem_id, []).append(number)
                begin += rows
        self._read = lru_cache(maxsize=2)(self._group)

    def rows(self, problem_ids: Sequence[str]) -> pl.DataFrame:
        """All rows of these problems, in the order of the file; none for a problem that the table lacks."""
        numbers = sorted({number for problem_id in problem_ids for number in self._groups.get(problem_id, [])})
        wanted = pl.col("problem_id").is_in(problem_ids)
        return pl.concat([_empty(self._schema), *(self._read(number).filter(wanted) for number in numbers)])

    def _group(self, number: int) -> pl.DataFrame:
        with pq.ParquetFile(self._path) as file:
            return _row_group(file, number, self._schema, self._path)


def write(frame: pl.DataFrame, path: str | Path, schema: type[dy.Schema]) -> None:
    """Validate and write a table: to a temporary file beside it, renamed at the end, so never half a table.

    Raises:
        ValueError: the frame breaks the schema.
        OSError: the file cannot be written (a full disk); nothing is left under the final name.
    """
    write_batches([frame], path, schema)


def write_batches(frames: Iterable[pl.DataFrame], path: str | Path, schema: type[dy.Schema]) -> None:
    """`write` a table that comes in pieces, in memory for one row group (`ROW_GROUP_BYTES`) and one piece.

    Every piece is validated by itself, so a rule over several rows must find them in one piece; keys are compared over
    all pieces. The same pieces give the same bytes.

    Raises:
        ValueError, OSError: as `write`; whatever `frames` raises. Nothing is then left under the final name.
    """
    path = Path(path)
    keys = [_empty(schema).select(schema.primary_key())]

    def validated() -> Iterator[pl.DataFrame]:
        for frame in frames:
            valid = validate(frame, schema, str(path))
            keys.append(valid.select(schema.primary_key()))
            yield valid

    with atomic_file(path) as part:
        writer = None
        try:
            with _named(path):
                writer = _writer(part, schema)
            for group in _row_groups(validated()):
                with _named(path):
                    writer.write_table(_arrow(group).cast(writer.schema), row_group_size=group.height)
            repeated = pl.concat(keys).filter(pl.struct(schema.primary_key()).is_duplicated())
            if repeated.height:
                first = repeated.row(0, named=True)
                raise ValueError(f"{path}: duplicate key: {repeated.height} row(s), the first: {first}")
            with _named(path):
                writer.close()
        finally:
            with suppress(OSError, pa.ArrowException):  # it was not to be, the reason is on its way up
                if writer is not None:
                    writer.close()


def _row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of `frames` in pieces of about ROW_GROUP_BYTES, in memory."""
    held: list[pl.DataFrame] = []
    held_bytes = 0
    for frame in frames:
        held.append(frame)
        held_bytes += int(frame.estimated_size())
        if held_bytes >= ROW_GROUP_BYTES:
            whole = pl.concat(held)
            yield from whole.iter_slices(max(1, whole.height * ROW_GROUP_BYTES // held_bytes))
            held, held_bytes = [], 0
    if any(frame.height for frame in held):
        yield pl.concat(held)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors in writing name the table."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def _writer(part: Path, schema: type[dy.Schema]) -> pq.ParquetWriter:
    """zstd; lists without nulls in them, and log-probs with their bytes of equal rank together: smaller, faster."""
    fields = []
    for field in _arrow(_empty(schema)).schema:
        if pa.types.is_large_list(field.type):
            field = field.with_type(pa.large_list(pa.field("item", field.type.value_type, nullable=False)))
        fields.append(field)
    names = [f"{field.name}.list.element" if pa.types.is_large_list(field.type) else field.name for field in fields]
    floats = [n for n, f in zip(names, fields, strict=True) if f.type.num_fields and f.type.value_type == pa.float32()]
    return pq.ParquetWriter(
        part,
        pa.schema(fields),
        compression="zstd",
        use_dictionary=[name for name in names if name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())  # plain strings, which every reader knows


def _empty(schema: type[dy.Schema]) -> pl.DataFrame:
    return pl.DataFrame(schema=types(schema))


def _columns_in(path: Path, schema: type[dy.Schema], columns: Sequence[str] | None) -> list[str]:
    """The wanted columns, all of which the file has."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table ({schema.__name__.lower()})")
    try:
        names = pq.read_schema(path).names
    except Exception as error:  # pyarrow raises its own classes, one per kind of damage
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    wanted = list(columns or schema.column_names())
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{path}: column {missing[0]!r} is missing (the file has: {', '.join(names)})")
    return wanted


def validate(frame: pl.DataFrame, schema: type[dy.Schema], name: str) -> pl.DataFrame:
    """The frame with the schema's columns, in its order and types.

    Integer and float widths are cast when no value changes; anything else that differs is an error.

    Raises:
        ValueError: naming the table, the column or rule and the first failing key.
    """
    columns = schema.columns()
    if extra := [c for c in frame.columns if c not in columns]:
        raise ValueError(f"{name}: column {extra[0]!r} is not part of the table (it has: {', '.join(columns)})")
    if missing := [c for c in columns if c not in frame.columns]:
        raise ValueError(f"{name}: column {missing[0]!r} is missing (the table has: {', '.join(frame.columns)})")
    for column, declared in columns.items():
        try:
            frame = frame.with_columns(pl.col(column).cast(declared.dtype))
        except pl.exceptions.PolarsError as error:
            got = frame.schema[column]
            why = str(error).splitlines()[0]
            raise ValueError(f"{name}: column {column!r} is {got}, not {declared.dtype} ({why})") from error
    frame = frame.select(list(columns))
    _, failure = schema.filter(frame)
    if counts := failure.counts():
        rule, n_rows = next(iter(counts.items()))
        keys = schema.primary_key() or list(columns)[:1]
        row = failure.details().filter(pl.col(rule) == "invalid").row(0, named=True)
        rule_name = "duplicate key" if rule == "primary_key" else rule.replace("|", ": ")
        shown = {key: row[key] for key in keys} | _offender(rule, row)
        raise ValueError(f"{name}: {rule_name}: {n_rows} row(s) break this rule, the first: {shown}")
    return frame


def with_problems(rows: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Each row with the columns of its problem, in the order of `rows`.

    Raises:
        ValueError: a row whose problem is missing.
    """
    if lost := rows.join(problems, on="problem_id", how="anti")["problem_id"].to_list():
        raise ValueError(f"problems: problem_id {lost[0]!r} of a trace is missing")
    return rows.join(problems, on="problem_id", how="left", validate="m:1", maintain_order="left")


def types(schema: type[dy.Schema]) -> dict[str, pl.DataType]:
    """Name and Polars type of every column."""
    return {name: column.dtype for name, column in schema.columns().items()}


def seed_of(path: str | Path) -> int:
    """The seed in a table's name, as in `traces/seed=3.parquet`.

    Raises:
        ValueError: the name is of another form.
    """
    match = re.fullmatch(r"seed=(\d+)\.parquet", Path(path).name)
    if match is None:
        raise ValueError(f"{path}: the table's name should be seed=N.parquet")
    return int(match.group(1))


def _offender(rule: str, row: dict[str, Any]) -> dict[str, Any]:
    """The column that a rule is named after, with its value cut short."""
    for name in (rule.split("|")[0], *rule.split("_")):
        if name in row and name != rule:
            return {name: str(row[name])[:80]}
    return {}


def _only(schema: type[dy.Schema], columns: Sequence[str]) -> type[dy.Schema]:
    """The schema cut down to some columns; rules over several columns then do not apply."""
    if list(columns) == schema.column_names():
        return schema
    chosen = {name: column for name, column in schema.columns().items() if name in columns}
    return type(schema.__name__, (dy.Schema,), chosen)
