"""Work folders: where a stage keeps what it has done so far, so that the next run can go on after a kill.

The name of a folder is a fingerprint of everything that the work follows from. One process at a time holds it. Only
unfinished work lies there; finished tables and models are outputs. This module does not know what the folders hold.
Locks are `flock`s: they hold between the processes of one machine, and the kernel frees them when a process ends.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vr.tables.files import remove

_LOCK = "lock"


def fingerprint(*parts: Any) -> str:
    """sha256, in hex, over parts in their order.

    A `Path` stands for the content of its file, or for the names and contents of all files in its folder. Any other
    part has to be bytes or JSON-able. A string stands for itself, never for a path. The order of a mapping's keys
    does not matter.

    Raises:
        FileNotFoundError: a path that is not there.
        TypeError: a part that is neither path, bytes nor JSON-able.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            _add(digest, "path", b"")
            for path in _files(part):
                name = path.relative_to(part).as_posix()
                with path.open("rb") as file:
                    _add(digest, name, hashlib.file_digest(file, "sha256").digest())
        elif isinstance(part, bytes):
            _add(digest, "bytes", part)
        else:
            _add(digest, "json", json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return [path]


def _add(digest: Any, label: str, content: bytes) -> None:
    # The lengths are hashed too, since ("ab", "c") and ("a", "bc") are different inputs.
    for piece in (label.encode(), content):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)


@contextmanager
def work_folder(root: Path, name: str, fingerprint: str) -> Iterator[Path]:
    """`root/name/fingerprint`, held by this process alone. It is removed when the block ends well, kept when it fails.

    Folders of other fingerprints under the same name are removed first, since their inputs have changed.

    Raises:
        RuntimeError: another process holds the folders of this name; says which.
        OSError: the folder cannot be written to; names it.
    """
    assert name and fingerprint and "/" not in name + fingerprint and fingerprint != _LOCK
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    with _held(home / _LOCK, name):
        folder = home / fingerprint
        for entry in home.iterdir():
            if entry.name != _LOCK and not (entry == folder and entry.is_dir() and not entry.is_symlink()):
                remove(entry)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)


@contextmanager
def _held(path: Path, name: str) -> Iterator[None]:
    with path.open("ab+", buffering=0) as file:  # "w" would erase the holder's process id before the lock is ours
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().decode(errors="replace").strip() or "unknown"
            # The lock outlives its process in a child that this one forked.
            who = f"process {pid}" if Path("/proc", pid).exists() else f"a child of process {pid}, which has ended,"
            raise RuntimeError(
                f"{name}: {who} is at work on the same step in {path.parent}: wait for it or end it"
            ) from None
        file.truncate(0)
        try:
            file.write(str(os.getpid()).encode())
        except OSError as error:  # a full disk
            raise OSError(f"{path}: cannot be written: {error}") from error
        yield
