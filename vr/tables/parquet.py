"""Validated tables in Parquet files: whole, or in batches where a table is larger than memory should be.

Files are zstd-compressed, with row groups of bounded size and a checksum for every page, so that a flipped bit is
found. Reading and writing validate names first, then types, keys and rules; an error names the file, the column or rule
and the first offending key. Knows no table: columns and rules are those of a dataframely schema (vr/tables/schemas.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import dataframely as dy
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from vr.tables.ahead import ahead
from vr.tables.files import atomic_file

S = TypeVar("S", bound=dy.Schema)
ROW_GROUP_BYTES = 16 << 20
"""In memory. A reader that streams row groups needs no more memory than a few of these."""


# Reading


def read(path: str | Path, schema: type[S], columns: Sequence[str] | None = None) -> dy.DataFrame[S]:
    """Read and validate a table; with `columns`, only those (and only their own rules).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not Parquet, a missing or unknown column, a wrong type, a duplicate key, a broken rule; no rows,
            where the schema says that there are some (`may_be_empty = False`).
    """
    wanted = part_of(schema, columns, path)
    with _opened(path) as file:
        frame = pl.DataFrame(file.read(columns=wanted.column_names()))
    if frame.is_empty() and not getattr(schema, "may_be_empty", True):
        raise ValueError(f"{path}: the table has no rows")
    return validate(frame, wanted, str(path))


def read_batches(path: str | Path, schema: type[S], columns: Sequence[str] | None = None) -> Iterator[dy.DataFrame[S]]:
    """As `read`, one row group at a time, in order, in memory for two: the next one is read while the caller works.

    Keys are compared over the whole table.

    Raises:
        FileNotFoundError, ValueError: as `read`; a missing file or column and a duplicate key before the first batch.
    """
    if keys := part_of(schema, columns, path).primary_key():
        read(path, schema, keys)
    return ahead(read_row_group(path, schema, columns, index) for index in range(len(row_group_sizes(path))))


def read_row_group(path: str | Path, schema: type[S], columns: Sequence[str] | None, index: int) -> dy.DataFrame[S]:
    """As `read`, one row group alone. Its keys are compared with each other only.

    Raises:
        FileNotFoundError, ValueError: as `read`.
    """
    wanted = part_of(schema, columns, path)
    with _opened(path) as file:
        frame = pl.DataFrame(file.read_row_group(index, columns=wanted.column_names(), use_threads=False))
    return validate(frame, wanted, str(path))


def row_group_sizes(path: str | Path) -> list[int]:
    """Rows in each row group.

    Raises:
        FileNotFoundError, ValueError: as `read`.
    """
    with _opened(path) as file:
        return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]


def part_of(schema: type[S], columns: Sequence[str] | None, path: str | Path) -> type[S]:
    """The schema of the wanted columns, all of which the file has.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not Parquet, or a column is missing.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such table ({schema.__name__.lower()})")
    with _opened(path) as file:
        names = file.schema_arrow.names
    wanted = tuple(columns or schema.column_names())
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{path}: column {missing[0]!r} is missing (the file has: {', '.join(names)})")
    return _cut(schema, wanted)


@contextmanager
def _opened(path: str | Path) -> Iterator[pq.ParquetFile]:
    """The file, to be read in the block; whatever is wrong with its bytes is a ValueError that names it."""
    try:
        with pq.ParquetFile(path, list_type=pa.LargeListType, page_checksum_verification=True) as file:
            yield file
    # pyarrow raises its own classes, one per kind of damage; Polars panics over other programs' notes on types
    except (Exception, pl.exceptions.PanicException) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())})") from error


@lru_cache(maxsize=256)
def _cut(schema: type[S], columns: tuple[str, ...]) -> type[S]:
    """The schema with some of its columns, and the rules that need no other."""
    if list(columns) == schema.column_names():
        return schema
    chosen: dict[str, Any] = {name: column for name, column in schema.columns().items() if name in columns}
    for name, rule in schema._schema_validation_rules().items():
        if set(rule.expr.meta.root_names()) <= set(columns):
            chosen[name] = dy.rule()(partial(_expression, rule.expr))
    return cast(type[S], type(schema.__name__, (dy.Schema,), chosen))


def _expression(expression: pl.Expr, _schema: type[dy.Schema]) -> pl.Expr:
    return expression


# Writing


def write(frame: pl.DataFrame, path: str | Path, schema: type[dy.Schema]) -> None:
    """Validate and write a table. It replaces the file of that name when it is complete.

    Raises:
        ValueError: the frame breaks the schema.
        OSError: the file cannot be written (a full disk). The file of that name is then as before.
    """
    write_batches([frame], path, schema)


def write_batches(frames: Iterable[pl.DataFrame], path: str | Path, schema: type[dy.Schema]) -> None:
    """As `write`, for a table that comes in batches, in memory for one row group (`ROW_GROUP_BYTES`) and one batch.

    Each batch is validated by itself, so a rule over several rows must find them in one batch; keys are compared over
    all batches. The same batches give the same bytes.

    Raises:
        ValueError, OSError: as `write`; whatever `frames` raises. The file of that name is then as before.
    """
    path = Path(path)
    keys = [schema.create_empty().select(schema.primary_key())]

    def validated() -> Iterator[pl.DataFrame]:
        for frame in frames:
            valid = validate(frame, schema, str(path))
            keys.append(valid.select(schema.primary_key()))
            yield valid

    with atomic_file(path) as part:
        with _writer(part, schema, path) as writer:
            for group in _row_groups(validated()):
                with _errors_name(path):
                    writer.write_table(_arrow(group).cast(writer.schema), row_group_size=group.height)
        _require_unique(pl.concat(keys), path)


def _require_unique(keys: pl.DataFrame, path: Path) -> None:
    repeated = keys.filter(keys.is_duplicated())
    if repeated.height:
        raise ValueError(f"{path}: duplicate key: {repeated.height} row(s), the first: {repeated.row(0, named=True)}")


def _row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of `frames` in groups of about ROW_GROUP_BYTES."""
    held: list[pl.DataFrame] = []
    held_bytes = 0
    for frame in frames:
        held.append(frame)
        held_bytes += int(frame.estimated_size())
        if held_bytes >= ROW_GROUP_BYTES:
            together = pl.concat(held)
            yield from together.iter_slices(max(1, together.height * ROW_GROUP_BYTES // held_bytes))
            held, held_bytes = [], 0
    if any(frame.height for frame in held):
        yield pl.concat(held)


@contextmanager
def _writer(part: Path, schema: type[dy.Schema], path: Path) -> Iterator[pq.ParquetWriter]:
    """A writer to the file `part`, closed at the end; its errors name the table `path`."""
    with _errors_name(path):
        writer = pq.ParquetWriter(
            part,
            _file_schema(schema),
            compression="zstd",
            write_page_checksum=True,
            store_schema=False,  # Arrow's own notes on types have no checksum, and the declared types say it all
            **_encodings(schema),
        )
    try:
        yield writer
    except BaseException:
        with suppress(OSError, pa.ArrowException):  # the first error is the one to report
            writer.close()
        raise
    with _errors_name(path):
        writer.close()


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Make errors in writing name the table."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def _file_schema(schema: type[dy.Schema]) -> pa.Schema:
    """The schema in Arrow's types. Its lists hold no nulls, which saves a byte or so for each of their items."""
    fields = _arrow(schema.create_empty()).schema
    return pa.schema(
        field.with_type(pa.large_list(pa.field("item", field.type.value_type, nullable=False)))
        if pa.types.is_large_list(field.type)
        else field
        for field in fields
    )


def _encodings(schema: type[dy.Schema]) -> dict[str, Any]:
    """Lists of log-probs are split by byte, which is smaller and faster; all other columns take dictionaries."""
    logps = [name for name, dtype in types(schema).items() if dtype == pl.List(pl.Float32)]
    lists = [name for name, dtype in types(schema).items() if isinstance(dtype, pl.List)]
    columns = {name: f"{name}.list.element" if name in lists else name for name in schema.column_names()}
    return {
        "use_dictionary": [column for name, column in columns.items() if name not in logps],
        "column_encoding": {columns[name]: "BYTE_STREAM_SPLIT" for name in logps},
    }


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())  # plain strings, which every reader knows


# Validation


def validate(frame: pl.DataFrame, schema: type[S], name: str) -> dy.DataFrame[S]:
    """The frame with the schema's columns, in its order and types.

    Widths of numbers are cast when no value changes, and so are the kinds of text; anything else that differs is an
    error.

    Args:
        name: of the table, for messages.

    Raises:
        ValueError: naming the table, the column or rule and the first failing key.
    """
    _require_names(frame, schema, name)
    frame = frame.select(_cast(frame[column], declared.dtype, name) for column, declared in schema.columns().items())
    _require_rules(frame, schema, name)
    return cast(dy.DataFrame[S], frame)


def types(schema: type[dy.Schema]) -> dict[str, pl.DataType]:
    """Name and Polars type of every column."""
    return {name: column.dtype for name, column in schema.columns().items()}


def _require_names(frame: pl.DataFrame, schema: type[dy.Schema], name: str) -> None:
    columns = schema.column_names()
    if extra := [column for column in frame.columns if column not in columns]:
        raise ValueError(f"{name}: column {extra[0]!r} is not part of the table (it has: {', '.join(columns)})")
    if missing := [column for column in columns if column not in frame.columns]:
        raise ValueError(f"{name}: column {missing[0]!r} is missing (the table has: {', '.join(frame.columns)})")


def _cast(values: pl.Series, dtype: pl.DataType, name: str) -> pl.Series:
    differs = f"{name}: column {values.name!r} is {values.dtype}, not {dtype}"
    if not _same_kind(values.dtype, dtype):
        raise ValueError(differs)
    try:
        found = values.cast(dtype)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{differs} ({str(error).splitlines()[0]})") from error
    if values.dtype != dtype and _holds_floats(dtype) and not found.cast(values.dtype).equals(values):
        raise ValueError(f"{differs} (values would change)")
    return found


def _same_kind(found: pl.DataType, declared: pl.DataType) -> bool:
    """Whether types differ in the width of a number, or in how text is kept, at most."""
    if isinstance(found, pl.List) and isinstance(declared, pl.List):
        return _same_kind(cast(pl.DataType, found.inner), cast(pl.DataType, declared.inner))
    return found == pl.Null or _kind(found) == _kind(declared)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer() or dtype.is_float():
        return "integer" if dtype.is_integer() else "float"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) else str(dtype)


def _holds_floats(dtype: pl.DataType) -> bool:
    return _holds_floats(cast(pl.DataType, dtype.inner)) if isinstance(dtype, pl.List) else dtype.is_float()


def _require_rules(frame: pl.DataFrame, schema: type[dy.Schema], name: str) -> None:
    _, failure = schema.filter(frame)
    if not (counts := failure.counts()):
        return
    rule, n_rows = next(iter(counts.items()))
    row = failure.details().filter(pl.col(rule) == "invalid").row(0, named=True)
    rule_name = "duplicate key" if rule == "primary_key" else rule.replace("|check__", ": ").replace("|", ": ")
    shown = {key: row[key] for key in schema.primary_key() or schema.column_names()[:1]} | _offender(rule, row)
    raise ValueError(f"{name}: {rule_name}: {n_rows} row(s) break this rule, the first: {shown}")


def _offender(rule: str, row: dict[str, Any]) -> dict[str, Any]:
    """The column that a rule is named after, with its value cut short."""
    for name in (rule.split("|")[0], *rule.split("_")):
        if name in row and name != rule:
            return {name: str(row[name])[:80]}
    return {}
