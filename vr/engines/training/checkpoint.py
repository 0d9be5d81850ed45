"""Checkpoints of a training, and its result: whether every rank has written its part, and no file was cut since."""

import json
from pathlib import Path

from vr.tables.files import atomic_file

_COMPLETE = "complete"


def mark_complete(checkpoint: Path) -> None:
    """Say in the folder that every rank has written its part, and how long each of its files is."""
    sizes = _sizes(checkpoint)
    with atomic_file(checkpoint / _COMPLETE) as part:
        part.write_text(json.dumps(sizes))


def is_complete(checkpoint: Path) -> bool:
    """Whether the folder was marked and its files still have their lengths; after a power cut they may not."""
    try:
        return bool(json.loads((checkpoint / _COMPLETE).read_text()) == _sizes(checkpoint))
    except (OSError, ValueError):
        return False


def _sizes(checkpoint: Path) -> dict[str, int]:
    """Bytes of every file, by its name."""
    files = (path for path in checkpoint.rglob("*") if path.is_file() and path.name != _COMPLETE)
    return {file.relative_to(checkpoint).as_posix(): file.stat().st_size for file in files}
