"""Files and folders that appear whole or not at all, whatever interrupts the process that writes them.

Each is written under a hidden name beside its own and renamed at the end. So what stands there before is never edited:
DVC's outputs are read-only hard links to its cache. Processes are told apart by their ids, which holds on one machine.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def require_writable(path: Path) -> None:
    """Check that a file or folder can be made at `path`; cheap, so that it can stand before long work.

    Raises:
        OSError: the folder in which it would stand cannot be written to.
    """
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise NotADirectoryError(f"{path}: cannot be written: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: cannot be written: the folder {folder} is read-only")
    if path.suffix and path.is_dir():
        raise IsADirectoryError(f"{path}: cannot be written: a folder stands there")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write a file to, which takes the place of `path` when the block ends without an error."""
    with _part_of(path) as part:
        yield part
        part.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty folder to write to, which takes the place of `path` when the block ends without an error.

    A folder cannot replace a full one in one step, so an old `path` is moved aside first. A process that is killed
    between the two steps leaves no `path`.
    """
    with _part_of(path) as part:
        part.mkdir()
        yield part
        old = part.with_suffix(".old")
        if os.path.lexists(path):
            path.rename(old)
        part.rename(path)
        remove(old)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """A free name beside `path` that holds this process's id; what stands there at the end is removed.

    Raises:
        OSError: of a full disk, whose own message may name no file, says that `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _leftovers(path):
        remove(left)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
    except OSError as error:
        # A number of the system's says that it is a disk's error; libraries in Rust give it in the text alone.
        of_a_disk = type(error) is OSError and (error.errno is not None or "(os error " in str(error))
        if not of_a_disk or str(path) in str(error):
            raise
        raise OSError(f"{path}: cannot be written: {error}") from error
    finally:
        remove(part)


def _leftovers(path: Path) -> Iterator[Path]:
    """What killed processes left beside `path`; one of them may have had this process's id."""
    name = re.compile(re.escape(f".{path.name}.") + r"(?P<process>\d+)\.(part|old)")
    for left in os.listdir(path.parent):
        found = name.fullmatch(left)
        if found and (int(found["process"]) == os.getpid() or not Path("/proc", found["process"]).exists()):
            yield path.with_name(left)


def remove(path: Path) -> None:
    """Remove a file or a folder, whatever there is of it; a symbolic link itself, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
