"""params.yaml (what is computed) and machine.yaml (how it runs), read for a stage.

The library reads no YAML: this module does, and hands it checked values. It also reads the other text that people
write, the system prompts.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import Node

from vr.settings.consistency import contradictions
from vr.settings.entries import shown
from vr.settings.machine import Machine
from vr.settings.params import Params

P = TypeVar("P", bound=Params)

MAX_BYTES = 128 << 10
"""Of a file of settings or a prompt; the largest here has 5,000."""
MAX_DEPTH = 20
"""Levels of a YAML file; the deepest here has 3."""
_LINE_CHARACTERS = 2000


def params(section: type[P], *name: str) -> P:
    """The parameters of one section of ./params.yaml; `name` is the entry where a section has several.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not YAML, or an entry is missing, unknown or out of range; one line each.
    """
    return section.read(document(), *name)


def document() -> dict[str, Any]:
    """All of ./params.yaml.

    Raises:
        OSError: there is no such file.
        ValueError: it is not YAML, or empty.
    """
    found = _yaml(Path("params.yaml"))
    if not found:
        raise ValueError("params.yaml: no entries")
    return found


def machine() -> Machine:
    """machine.yaml, or what is found out where there is none, or one without entries.

    `dvc exp run --temp` and `--queue` run in a folder of their own, to which an untracked file is not copied. DVC_ROOT
    names the project that they were started from.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not YAML, or an entry is unknown or out of range; one line each.
    """
    path = Path(os.environ.get("DVC_ROOT", "."), "machine.yaml")
    return Machine.read(_yaml(path)) if os.path.lexists(path) else Machine()


def config_errors() -> list[str]:
    """Everything that is wrong in params.yaml, for whichever stage, and in machine.yaml, one line each."""
    found: dict[str, None] = {}  # several stages read a shared entry: it is named once

    def check(read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (ValueError, OSError) as error:
            found.update(dict.fromkeys(str(error).splitlines()))
            return None

    entries = check(document)
    if entries is not None:
        found.update(dict.fromkeys(Params.unknown(entries)))
        for section in Params.sections():
            for name in section.names(entries):
                check(section.read, entries, *name)
        if not found:
            found.update(dict.fromkeys(contradictions(entries)))
    check(machine)
    return list(found)


def one_line(message: str) -> str:
    """A message, which may come from another library, in one line that a terminal shows as it stands.

    Of a very long one, such as the last lines of a failed engine, the begin and the end are kept.
    """
    words = " ".join(message.split())
    if len(words) > _LINE_CHARACTERS:
        words = f"{words[: _LINE_CHARACTERS // 2]} ... {words[-_LINE_CHARACTERS // 2 :]}"
    return "".join(sign if sign.isprintable() else "?" for sign in words)


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


def _yaml(path: Path) -> dict[str, Any]:
    """The entries of a file; none where it holds comments alone."""
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
