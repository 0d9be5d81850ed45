"""Files that people write: YAML with the settings, and the text of prompts; bounded, and every error names its line.

Knows no entry (params.py, machine.py) and no place: callers say which file.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import Node

from vr.settings.entries import shown
from vr.settings.machine import Machine

MAX_BYTES = 128 << 10
"""Of a file of settings or a prompt; the largest here has 5,000."""
MAX_DEPTH = 20
"""Levels of a YAML file; the deepest here has 3."""


def params_of(path: Path) -> dict[str, Any]:
    """All of a params.yaml.

    Raises:
        OSError: there is no such file.
        ValueError: as `entries_of`, or it has no entries.
    """
    found = entries_of(path)
    if not found:
        raise ValueError(f"{path}: no entries")
    return found


def machine_of(path: Path) -> Machine:
    """A machine.yaml, or what is found out where there is none, or one without entries.

    Raises:
        OSError: the file cannot be read.
        ValueError: as `entries_of`, or an entry is unknown or out of range; one line each.
    """
    return Machine.read(entries_of(path)) if os.path.lexists(path) else Machine()


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark, lines ended by `\\n`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has more than MAX_BYTES, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise type(error)(f"{path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path}: has more than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ValueError(f"{path}: line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def entries_of(path: Path) -> dict[str, Any]:
    """The entries of a YAML file; none where it holds comments alone.

    Raises:
        OSError: the file cannot be read.
        ValueError: as `text_of`; it is not YAML, not keys and values, has a key that is no word, or aliases, or more
            than MAX_DEPTH levels.
    """
    text = text_of(path)
    # YAML 1.2 reads the 2e-05 that `dvc exp run -S` writes as a number; PyYAML reads it as a string
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        _require_plain(yaml.parse(text), path)
        found = yaml.load(text)
    except MarkedYAMLError as error:
        raise ValueError(f"{path}: line {_line(error.problem_mark)}: not YAML: {error.problem}") from error
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: should be keys and values, is {type(found).__name__}")
    if odd := list(_odd_keys(found)):
        raise ValueError("\n".join(f"{path}: {key}: a key should be a word" for key in odd))
    return found


class _Constructor(SafeConstructor):
    """Makes values of a file's words; an error says where the word stands."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError) as error:  # of Python's own int, float, datetime
            raise ConstructorError(None, None, f"{shown(node.value)}: {error}", node.start_mark) from error


def _require_plain(events: Iterator[Any], path: Path) -> None:
    """Check that a file stays as small as it looks when its values are written out.

    Raises:
        ValueError: it has aliases, or too many levels.
    """
    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise ValueError(f"{path}: line {_line(event.start_mark)}: *{event.anchor}: write the value out, no alias")
        if depth > MAX_DEPTH:
            raise ValueError(f"{path}: line {_line(event.start_mark)}: more than {MAX_DEPTH} levels")


def _line(mark: Any) -> int:
    return int(mark.line) + 1


def _odd_keys(section: dict[Any, Any], *path: str) -> Iterator[str]:
    """Where keys stand that are no text, empty, or not printable."""
    for key, value in section.items():
        if not isinstance(key, str) or not key or not key.isprintable():
            yield ".".join((*path, shown(key)))
        elif isinstance(value, dict):
            yield from _odd_keys(value, *path, key)
