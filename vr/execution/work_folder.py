"""Work folders: where a stage keeps what it has done so far, so that the next run can pick it up after a kill.

A folder is keyed by a fingerprint of all that the work follows from, and belongs to one run at a time. It is for
unfinished work only: what a stage hands on goes to its outputs, by way of `whole`. Knows nothing of what is in them.
Locks are `flock`s: they hold between processes of one machine and vanish with the process that held them.
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

_LOCK = "lock"


def fingerprint(*parts: Any) -> str:
    """sha256, in hex, over parts in their order.

    A `Path` stands for the content of the file, or for the names and contents of all files of the folder; anything
    else has to be bytes or JSON-able (a string is itself, never a path; the order of a mapping's keys is of no
    account).

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
    # Lengths go in too: ("ab", "c") and ("a", "bc") are different inputs.
    for piece in (label.encode(), content):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)


@contextmanager
def folder(root: Path, name: str, fingerprint: str) -> Iterator[Path]:
    """`root/name/fingerprint`, held by this process alone; removed when the block ends well, kept when it fails.

    What other fingerprints of the same name left behind is removed first: their inputs are gone.

    Raises:
        RuntimeError: another process holds the folders of this name; says which.
    """
    assert name and fingerprint and "/" not in name + fingerprint and fingerprint != _LOCK
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    with _held(home / _LOCK, name):
        for entry in home.iterdir():
            if entry.is_dir() and entry.name != fingerprint:
                shutil.rmtree(entry)
        here = home / fingerprint
        here.mkdir(exist_ok=True)
        yield here
        shutil.rmtree(here)


@contextmanager
def _held(path: Path, name: str) -> Iterator[None]:
    with path.open("a+") as file:  # never "w": that would wipe the holder's pid before the lock is ours
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise RuntimeError(
                f"{name}: process {pid} is at work on the same step in {path.parent}: wait for it or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
