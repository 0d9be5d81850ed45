"""Reading JSON that a program may have forged, in time and memory linear in its size.

Python reads the digits of an integer in quadratic time, so numerals are bounded.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

MAX_NUMERAL_CHARACTERS = 20_000
"""One integer of so many digits is read in about 2 ms."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, nested too deeply, or has a number that is too long.
    """
    try:
        return json.loads(text, parse_int=partial(_bounded, int), parse_float=partial(_bounded, float))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _bounded(read: Callable[[str], Any], numeral: str) -> Any:
    if len(numeral) > MAX_NUMERAL_CHARACTERS:
        raise ValueError(f"a number of {len(numeral)} characters")
    return read(numeral)
