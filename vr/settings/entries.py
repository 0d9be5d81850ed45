"""How params.yaml is read: classes that name every missing, unknown or bad entry, all at once.

Knows no entry: vr/settings/params.py declares them. Opens no file: callers hand over the parsed document.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

_FILE = "params.yaml"
_SHOWN_CHARACTERS = 80


class Entries(BaseModel):
    """Entries that stand together: none is unknown, none changes after reading.

    A value has its entry's type already: text is no number, true is not 1, and infinity and NaN are no numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Params(Entries):
    """The parameters of one stage: its section of params.yaml, and top-level entries that it shares with others."""

    section: ClassVar[str] = ""
    defaults: ClassVar[str] = ""
    """the section whose entries hold where `section` does not give them"""
    shared: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def sections(cls) -> Iterator[type["Params"]]:
        """Every class that can be read: those that say where their entries stand."""
        if cls.section or cls.shared:
            yield cls
        for child in cls.__subclasses__():
            yield from child.sections()

    @classmethod
    def unknown(cls, document: Mapping[str, Any]) -> list[str]:
        """The top-level entries that no class reads, one line each."""
        known = {key for child in cls.sections() for key in (*child.shared, child.defaults, child.section)}
        return [
            f"{_FILE}: {key} = {shown(value)}: no such entry or section"
            for key, value in document.items()
            if key not in known
        ]

    @classmethod
    def names(cls, _document: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The names to call `read` and `keys` with: none where the section is read as a whole, as most are."""
        return [()]

    @classmethod
    def keys(cls, *name: str) -> tuple[str, ...]:
        """The entries that the stage reads, as dvc.yaml's `params` gives them."""
        return (*cls.shared, *(".".join(path) for path in cls._paths(*name)))

    @classmethod
    def read(cls, document: Mapping[str, Any], *name: str) -> Self:
        """The stage's parameters out of the whole document.

        Args:
            name: one entry of the section, for a class that reads each of them alone (`names`).

        Raises:
            ValueError: every missing, unknown or bad entry, one line each.
        """
        paths = cls._paths(*name)
        if absent := [key for key in (*cls.shared, *(path[0] for path in paths)) if key not in document]:
            raise ValueError(f"{_FILE}: missing {', '.join(absent)}")
        values = {key: document[key] for key in cls.shared}
        places = {key: key for key in cls.shared}
        for path in paths:
            for key, value in _section(document, path).items():
                if key in cls.shared:
                    raise ValueError(f"{_FILE}: {'.'.join(path)}.{key}: {key} stands at the top level alone")
                values[key], places[key] = value, ".".join((*path, key))
        try:
            return cls(**values)
        except ValidationError as error:
            items = [(_place(item["loc"], places, paths), item) for item in error.errors()]
            raise ValueError("\n".join(error_line(_FILE, place, item) for place, item in items)) from error

    @classmethod
    def _paths(cls, *name: str) -> list[tuple[str, ...]]:
        """Where the entries stand, as keys from the top; a later place wins."""
        return [path for path in ((cls.defaults,), (cls.section, *name)) if path[0]]


def error_line(file: str, entry: str, item: Mapping[str, Any]) -> str:
    """One line for one error of a ValidationError: the file, its entry, the value there and what is wrong with it."""
    value = "" if not item["loc"] or item["type"] == "missing" else f" = {shown(item['input'])}"
    return f"{file}: {entry}{value}: {item['msg'].removeprefix('Value error, ')}"


def shown(value: Any) -> str:
    """A value as it is quoted in a message, cut short."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _section(document: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """The entries that stand under `path`."""
    found: Any = document
    for depth, key in enumerate(path, start=1):
        place = ".".join(path[:depth])
        if key not in found:
            raise ValueError(f"{_FILE}: missing {place}")
        found = found[key]
        if not isinstance(found, Mapping):
            raise ValueError(f"{_FILE}: {place} = {shown(found)}: should be a section of keys and values")
    return found


def _place(loc: tuple[int | str, ...], places: Mapping[str, str], paths: list[tuple[str, ...]]) -> str:
    """The entry that an error of pydantic's is about, as `weigh.ratio`; an absent one belongs in the first place."""
    first_place = ".".join(paths[0]) if paths else "the top level"
    if not loc:
        return first_place
    first, *rest = map(str, loc)
    return ".".join((places.get(first, f"{first_place}.{first}"), *rest))
