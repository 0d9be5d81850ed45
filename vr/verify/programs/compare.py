"""Comparing what a program gave with what was expected. All of it happens in the grader.

Printed output: line ends, trailing spaces and blank lines are forgiven; the order and the number of lines and of tokens
are not. An expected integer must be met exactly (3.0 for 3 is allowed), an expected decimal within 1e-6 relative or
1e-9 absolute. Only ASCII numerals are numbers.
Returned values: types are exact, except that a tuple counts as a list. A bool is no integer. An expected integer must
be met exactly (3.0 for 3 is allowed), an expected float within the same tolerance.
What was given is hostile: it is looked at up to the first difference, in time and memory linear in its size.
"""

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from typing import Any

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_MAX_NUMERAL_CHARACTERS = 400
_TOKEN = re.compile(r"\S+")


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
    return all(
        a is not None and b is not None and a[0] == b[0] and _same_token(a[1], b[1])
        for a, b in zip_longest(_tokens(expected), _tokens(given))
    )


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """The tokens one after another, each with whether it is the first of its line."""
    end = 0
    for match in _TOKEN.finditer(text):
        yield end == 0 or text.find("\n", end, match.start()) >= 0, match.group()
        end = match.end()


def _same_token(expected: str, given: str) -> bool:
    if expected == given:
        return True
    if max(len(expected), len(given)) > _MAX_NUMERAL_CHARACTERS:
        return False
    if not _NUMERAL.fullmatch(expected) or not _NUMERAL.fullmatch(given):
        return False
    if _INTEGER.fullmatch(expected):
        return not _INTEGER.fullmatch(given) and Decimal(expected) == Decimal(given)
    return math.isfinite(float(expected)) and _close(float(expected), float(given))


def _close(expected: float, given: float) -> bool:
    """Equal within the tolerance; infinities and nan equal only themselves."""
    if math.isnan(expected) or math.isnan(given):
        return math.isnan(expected) and math.isnan(given)
    return math.isclose(expected, given, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def same_result(expected: Any, given: Any) -> bool:
    """Whether a call returned what is expected; a test may give the value, or a list that holds only the value.

    Args:
        expected: a JSON value of the tests.
        given: any JSON value, from a program; an honest one is tagged as by `sandbox.values`.
    """
    if _same_value(expected, given):
        return True
    return isinstance(expected, list) and len(expected) == 1 and _same_value(expected[0], given)


def _same_value(expected: Any, given: Any) -> bool:
    if isinstance(given, dict):
        return _same_tagged(expected, given)
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, (int, float)) and isinstance(given, (int, float)):
        return _same_number(expected, given)
    if isinstance(expected, list):
        return isinstance(given, list) and len(expected) == len(given) and all(map(_same_value, expected, given))
    return type(expected) is type(given) and bool(expected == given)


def _same_number(expected: float, given: float) -> bool:
    if isinstance(expected, int):
        return given == expected  # Python compares an int with a float exactly
    try:
        return _close(expected, float(given))
    except OverflowError:
        return False


def _same_tagged(expected: Any, given: dict[str, Any]) -> bool:
    """Compare with a value that is neither a list nor a scalar; only tuples and dictionaries can equal JSON."""
    content = next(iter(given.values()), None)
    if len(given) != 1 or not isinstance(content, list):
        return False
    if "tuple" in given:
        return _same_value(expected, content)
    return "dict" in given and isinstance(expected, dict) and _same_dict(expected, content)


def _same_dict(expected: dict[str, Any], pairs: list[Any]) -> bool:
    """Keys are compared as text, because JSON has no other keys."""
    if len(pairs) != len(expected):
        return False
    given = {str(pair[0]): pair[1] for pair in pairs if _is_pair(pair)}
    return expected.keys() == given.keys() and all(_same_value(expected[key], given[key]) for key in expected)


def _is_pair(pair: Any) -> bool:
    """Whether it is a key and a value; the key a scalar."""
    return isinstance(pair, list) and len(pair) == 2 and (pair[0] is None or isinstance(pair[0], (str, int, float)))
