"""Files and folders that appear whole or not at all, whatever interrupts the process that writes them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file to; the file takes the place of `path` when the block ends well."""
    with _part_of(path) as part:
        yield part
        part.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to write to; it takes the place of `path` when the block ends well.

    A folder cannot replace a full one in one step, so an old `path` is moved aside first.
    """
    with _part_of(path) as part:
        part.mkdir()
        yield part
        old = part.with_suffix(".old")
        if path.exists():
            path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """A free name beside `path`, ending in this process's id; what is there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
    finally:
        _remove(part)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`."""
    for left in path.parent.glob(f".{path.name}.*"):
        pid, _, end = left.name.removeprefix(f".{path.name}.").partition(".")
        if end in ("part", "old") and not Path("/proc", pid).exists():
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
