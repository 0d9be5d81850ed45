"""params.yaml (what is computed) and machine.yaml (how it runs), read for a stage.

The library reads no YAML: this module does, and hands it checked values.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vr.settings.machine import Machine
from vr.settings.params import Params, error_line

P = TypeVar("P", bound=Params)


def params(section: type[P], *name: str) -> P:
    """The parameters of one section of ./params.yaml; `name` is the entry where a section has several.

    Raises:
        ValueError: the file is not YAML, or an entry is missing, unknown or out of range; one line each.
    """
    return section.read(_yaml(Path("params.yaml")), *name)


def machine() -> Machine:
    """machine.yaml, or what is found out where there is none.

    `dvc exp run --temp` and `--queue` run in a folder of their own, to which an untracked file is not copied. DVC_ROOT
    names the project that they were started from.

    Raises:
        ValueError: an entry is unknown or out of range; one line each.
    """
    path = Path(os.environ.get("DVC_ROOT", "."), "machine.yaml")
    if not path.exists():
        return Machine()
    try:
        return Machine(**_yaml(path))
    except ValidationError as error:
        items = ((".".join(map(str, item["loc"])), item) for item in error.errors())
        raise ValueError("\n".join(error_line("machine.yaml", entry, item) for entry, item in items)) from error


def config_errors() -> list[str]:
    """Everything that is wrong in params.yaml, for whichever stage, and in machine.yaml."""
    found: dict[str, None] = {}  # several stages read a shared entry: it is named once

    def check(read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (ValueError, OSError) as error:
            found.update(dict.fromkeys(str(error).splitlines()))
            return None

    document = check(_yaml, Path("params.yaml"))
    if document is not None:
        for section in Params.sections():
            for name in section.names(document):
                check(section.read, document, *name)
    check(machine)
    return list(found)


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        # YAML 1.2 reads the 2e-05 that `dvc exp run -S` writes as a number; PyYAML reads it as a string
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: should be keys and values, is {type(document).__name__}")
    return document
