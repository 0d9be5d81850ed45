"""`python -m stages`: check all of params.yaml, and machine.yaml where there is one, before anything runs.

Prints every complaint; the exit status is 1 if there is one. Each stage checks its own entries again.
"""

import sys

from stages import machine, params
from vr.params import Params


def complaints() -> list[str]:
    """What is wrong in params.yaml and machine.yaml, a line or more each."""
    found: dict[str, None] = {}  # a shared entry is read by several stages: say it once
    for cls in _sections(Params):
        try:
            params(cls)
        except (ValueError, OSError) as error:
            found |= dict.fromkeys(str(error).splitlines())
    try:
        machine()
    except ValueError as error:
        found[str(error)] = None
    return list(found)


def _sections(cls: type[Params]) -> list[type[Params]]:
    here = [cls] if hasattr(cls, "section") else []
    return here + [section for child in cls.__subclasses__() for section in _sections(child)]


if __name__ == "__main__":
    if found := complaints():
        sys.exit("\n".join(found))
