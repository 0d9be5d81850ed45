"""Rows of a data set that others publish: a file, a folder in the hub's layout, or a set on the Hugging Face hub.

Which files hold a configuration's split is said by the set's card (README.md), as on the hub, or else by their names
(`main/train-00000-of-00001.parquet`). Files are read as data alone: no loading script runs, nothing is unpickled, and
only the columns that are asked for are kept. The hub is asked under the login that `hf auth login` keeps.

Not covered: images and audio, compressed JSON, and what the columns mean.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import polars as pl

from vr.renderers.model_directory import in_one_line
from vr.sources.hub_errors import hub_errors

__all__ = ["files", "rows"]

CARD = "README.md"
_NO_ROWS_IN = ("config.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")
"""Files that describe a set."""
_SPLIT = re.compile(r"(?:^|[/._-])(train|training|validation|valid|dev|test|testing|eval)(?=$|[/._\d-])")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_LFS_POINTER = b"version https://git-lfs"


def rows(
    where: str, *, revision: str | None, config: str | None = None, split: str, columns: Sequence[str]
) -> pl.DataFrame:
    """The wanted columns of all rows of a split, in the set's own order.

    Columns of a CSV file are text. A key that some lines of JSON lack is null there.

    Args:
        where: a .parquet, .jsonl, .json, .csv or .arrow file (it is the split), a folder in the hub's layout, or a hub
            id.
        revision: a hub set's commit, branch or tag; null: its main branch.
        config: of the set's configurations; None where it has one.

    Raises:
        FileNotFoundError: no such file, folder, hub set or revision; the hub cannot be reached or gives no access; no
            file holds the split.
        ValueError: a file cannot be read, a column is missing, or there are no rows.
    """
    if Path(where).is_file():
        paths = [Path(where)]
    else:
        source = _source(where, revision)
        paths = [source.path(name) for name in _files_of(source, config, split)]
    tables = [_read(path, columns) for path in paths]
    with _naming(where):
        table = pl.concat(tables, how="vertical_relaxed")
    if table.is_empty():
        raise ValueError(f"{where}: no rows")
    return table


def files(where: str, revision: str | None, names: Sequence[str]) -> list[Path]:
    """The files of those names in a folder or a hub set, here to be read.

    Raises:
        FileNotFoundError: as `rows`; one of the names is not there.
    """
    source = _source(where, revision)
    if missing := [name for name in names if name not in source.names]:
        raise FileNotFoundError(f"{where}: no file {missing[0]}; it has {_few(source.names)}")
    return [source.path(name) for name in names]


# Where the files are


class _Folder:
    """A folder in the hub's layout."""

    def __init__(self, where: str) -> None:
        self.where = where
        found = (file.relative_to(where) for file in sorted(Path(where).rglob("*")) if file.is_file())
        self.names = [name.as_posix() for name in found if not any(part.startswith(".") for part in name.parts)]

    def path(self, name: str) -> Path:
        return Path(self.where, name)


class _HubSet:
    """A set on the hub. Its file names come first, so that a hub out of reach is known at once."""

    def __init__(self, where: str, revision: str | None) -> None:
        from huggingface_hub import HfApi  # half a second to import, and only hub sets need it

        self.where, self.revision = where, revision
        with hub_errors(where, revision, "set"):
            self.names = sorted(HfApi().list_repo_files(where, revision=revision, repo_type="dataset"))

    def path(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        with hub_errors(self.where, self.revision, "set"):
            return Path(hf_hub_download(self.where, name, revision=self.revision, repo_type="dataset"))


def _source(where: str, revision: str | None) -> _Folder | _HubSet:
    if Path(where).is_dir():
        return _Folder(where)
    if where.startswith((".", "~")) or Path(where).suffix in _READERS or not _HUB_ID.fullmatch(where):
        raise FileNotFoundError(f"{where}: no such file or folder")
    return _HubSet(where, revision)


# Which files hold a split


def _files_of(source: _Folder | _HubSet, config: str | None, split: str) -> list[str]:
    """The names of a split's files, in the set's order."""
    readable = [name for name in source.names if Path(name).suffix in _READERS and Path(name).name not in _NO_ROWS_IN]
    if declared := _declared(source, config):
        names = [name for name in readable if any(fnmatch(name, pattern) for pattern in declared.get(split, []))]
    else:
        names = _named_for(readable, config, split)
    wanted = f"split {split}" if config is None else f"split {split} of {config}"
    if not names:
        raise FileNotFoundError(f"{source.where}: no file holds {wanted}; it has {_few(source.names)}")
    if len(kinds := sorted({Path(name).suffix for name in names})) > 1:
        raise ValueError(f"{source.where}: {wanted} stands in {' and '.join(kinds)} files: keep one kind")
    return names


def _declared(source: _Folder | _HubSet, config: str | None) -> dict[str, list[str]]:
    """The patterns of file names that the head of the card gives to each split; none where it does not say.

    Raises:
        ValueError: the head is not what the hub reads.
    """
    from huggingface_hub import metadata_load

    if CARD not in source.names:
        return {}
    patterns: dict[str, list[str]] = {}
    with _naming(f"{source.where}: {CARD}"):
        for entry in (metadata_load(source.path(CARD)) or {}).get("configs") or []:
            if config is None or entry["config_name"] == config:
                for split, paths in _splits(entry.get("data_files", [])):
                    patterns.setdefault(split, []).extend(paths)
    return patterns


def _splits(data_files: Any) -> Iterator[tuple[str, list[str]]]:
    """Each split of a configuration and its patterns; files without a split are for training."""
    for part in _listed(data_files):
        if isinstance(part, str):
            yield "train", [part]
        else:
            yield part["split"], _listed(part["path"])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _named_for(names: Sequence[str], config: str | None, split: str) -> list[str]:
    """The files named after the configuration (all, if none is) and, of these, after the split.

    Files that name no split at all are the one split there is, as `gpqa_diamond.csv`.
    """
    own = [name for name in names if config is not None and config.lower() in _parts(name)] or names
    splits = [_SPLIT.findall(name) for name in own]
    return [name for name, said in zip(own, splits, strict=True) if split in said or not any(splits)]


def _parts(name: str) -> list[str]:
    """The folders of a file's path, and its name without the ending; in lower case."""
    return list(Path(name.lower()).with_suffix("").parts)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + ", ..." * (len(names) > 8) or "no files"


# How a file is read


def _read(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """The wanted columns of a file."""
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: should be a {', '.join(_READERS)} file")
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise ValueError(f"{path}: only Git LFS's pointer to the file: fetch it with `git lfs pull`")
    with _naming(str(path)):
        return _READERS[path.suffix](path, columns)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Make whatever a reader says of a damaged file one line that names the file."""
    try:
        yield
    except Exception as error:  # each library has error classes of its own
        raise ValueError(f"{name}: {in_one_line(error)}") from error


def _parquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    _require(columns, list(pl.read_parquet_schema(path)))
    return pl.read_parquet(path, columns=list(columns))


def _csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    try:
        table = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        # its own words quote cells, and those of a gated set may not be shown
        raise ValueError(f"not a readable CSV file ({type(error).__name__})") from error
    _require(columns, table.columns)
    return table.select(columns)


def _arrow(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """A file as the library `datasets` saves it: Arrow's stream format."""
    table = pl.read_ipc_stream(path)
    _require(columns, table.columns)
    return table.select(columns)


def _json(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """A list of objects, or an object on each line; the hub has both under either ending.

    Lines are read one at a time, because rows of programs with their tests are many times larger than the columns.
    """
    with path.open(encoding="utf-8") as file:
        if file.read(1) == "[":
            file.seek(0)
            return _records(json.load(file), columns)
        file.seek(0)
        return _records((_object(line, n) for n, line in enumerate(file, start=1) if line.strip()), columns)


def _object(line: str, n: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {n} is not JSON: {error}") from error


def _records(found: Iterator[Any] | list[Any], columns: Sequence[str]) -> pl.DataFrame:
    """The wanted columns of JSON objects."""
    names: dict[str, None] = {}
    kept = []
    for n, record in enumerate(found, start=1):
        if not isinstance(record, dict):
            raise ValueError(f"row {n} should be an object of columns and values")
        names |= dict.fromkeys(record)
        kept.append([record.get(column) for column in columns])
    if kept:
        _require(columns, list(names))
    values = list(zip(*kept, strict=True)) or [()] * len(columns)
    return pl.DataFrame([_series(column, list(of)) for column, of in zip(columns, values, strict=True)])


def _series(column: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(column, values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"column {column!r} holds values of several types: {error}") from error


def _require(columns: Sequence[str], found: list[str]) -> None:
    if missing := [column for column in columns if column not in found]:
        raise ValueError(f"column {missing[0]!r} is missing (there are: {', '.join(found)})")


_READERS: dict[str, Callable[[Path, Sequence[str]], pl.DataFrame]] = {
    ".parquet": _parquet,
    ".jsonl": _json,
    ".json": _json,
    ".csv": _csv,
    ".arrow": _arrow,
}
