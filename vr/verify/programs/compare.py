"""Comparing what a program gave with what was expected. All of it happens in the grader.

Printed output: line ends, trailing spaces and blank lines are forgiven; the order and the number of lines and of tokens
are not. An expected integer must be met exactly (3.0 for 3 is allowed), an expected decimal within 1e-6 relative or
1e-9 absolute. Only ASCII numerals are numbers.
Returned values: types are exact, except that a tuple counts as a list. A bool is no integer.
"""

import math
import re
from decimal import Decimal
from typing import Any

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_MAX_NUMERAL_CHARACTERS = 400


def joined(expected: Any) -> str:
    """Expected output as text: APPS and TACO give a text, a number or a list of lines.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(expected, str):
        return expected
    if isinstance(expected, list):
        return "\n".join(joined(item) for item in expected)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return str(expected)
    raise TypeError(f"neither text nor lines: {type(expected).__name__}")


def same_output(expected: str, given: str) -> bool:
    """Whether two printed outputs are equal, line by line and token by token."""
    if expected.strip() == given.strip():
        return True
    left, right = _token_lines(expected), _token_lines(given)
    return len(left) == len(right) and all(
        len(a) == len(b) and all(map(_same_token, a, b)) for a, b in zip(left, right, strict=True)
    )


def _token_lines(text: str) -> list[list[str]]:
    """The tokens of each line that has any."""
    return [tokens for line in text.replace("\r\n", "\n").split("\n") if (tokens := line.split())]


def _same_token(expected: str, given: str) -> bool:
    if expected == given:
        return True
    if max(len(expected), len(given)) > _MAX_NUMERAL_CHARACTERS:
        return False
    if not _NUMERAL.fullmatch(expected) or not _NUMERAL.fullmatch(given):
        return False
    if _INTEGER.fullmatch(expected):
        return not _INTEGER.fullmatch(given) and Decimal(expected) == Decimal(given)
    return _close(float(expected), float(given))


def _close(expected: float, given: float) -> bool:
    """Equal within the tolerance; infinities and nan equal only themselves."""
    if math.isnan(expected) or math.isnan(given):
        return math.isnan(expected) and math.isnan(given)
    return math.isclose(expected, given, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def same_result(expected: Any, given: Any) -> bool:
    """Whether a call returned what is expected; a test may give the value, or a list that holds only the value.

    Args:
        expected: a JSON value of the tests.
        given: a JSON value from the sandbox, dictionaries and sets tagged as by `child.py`.
    """
    if _same_value(expected, given):
        return True
    return isinstance(expected, list) and len(expected) == 1 and _same_value(expected[0], given)


def _same_value(expected: Any, given: Any) -> bool:
    if isinstance(given, dict):
        return isinstance(expected, dict) and set(given) == {"dict"} and _same_dict(expected, given["dict"])
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, int) and isinstance(given, int):
        return expected == given
    if isinstance(expected, (int, float)) and isinstance(given, (int, float)):
        try:
            return _close(float(expected), float(given))
        except OverflowError:
            return False
    if isinstance(expected, list):
        return isinstance(given, list) and len(expected) == len(given) and all(map(_same_value, expected, given))
    return type(expected) is type(given) and bool(expected == given)


def _same_dict(expected: dict[str, Any], pairs: list[list[Any]]) -> bool:
    """Keys are compared as text, because JSON has no other keys."""
    given = {key if isinstance(key, str) else str(key): value for key, value in pairs}
    return expected.keys() == given.keys() and all(_same_value(expected[key], given[key]) for key in expected)
