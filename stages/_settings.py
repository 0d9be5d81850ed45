"""params.yaml (what is computed) and machine.yaml (how it runs) of the project that a stage runs in.

vr/settings reads and checks them; here is where they lie.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vr.settings.consistency import errors
from vr.settings.machine import Machine
from vr.settings.params import Params
from vr.settings.yaml_files import machine_of, params_of

P = TypeVar("P", bound=Params)

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
        OSError, ValueError: see `params_of`.
    """
    return params_of(Path("params.yaml"))


def machine() -> Machine:
    """machine.yaml, or what is found out where there is none, or one without entries.

    `dvc exp run --temp` and `--queue` run in a folder of their own, to which an untracked file is not copied. DVC_ROOT
    names the project that they were started from.

    Raises:
        OSError, ValueError: see `machine_of`.
    """
    return machine_of(Path(os.environ.get("DVC_ROOT", "."), "machine.yaml"))


def config_errors() -> list[str]:
    """Everything that is wrong in params.yaml, for whichever stage, and in machine.yaml, one line each."""
    found = _lines_of(lambda: errors(document()))
    return found + _lines_of(machine)


def _lines_of(read: Callable[[], Any]) -> list[str]:
    """The errors that `read` returns, where it returns a list, or raises."""
    try:
        found = read()
    except (ValueError, OSError) as error:
        return str(error).splitlines()
    return found if isinstance(found, list) else []


def one_line(message: str) -> str:
    """A message, which may come from another library, in one line that a terminal shows as it stands.

    Of a very long one, such as the last lines of a failed engine, the begin and the end are kept.
    """
    words = " ".join(message.split())
    if len(words) > _LINE_CHARACTERS:
        words = f"{words[: _LINE_CHARACTERS // 2]} ... {words[-_LINE_CHARACTERS // 2 :]}"
    return "".join(sign if sign.isprintable() else "?" for sign in words)
