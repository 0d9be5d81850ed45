r"""Numbers that may be off by a stated absolute amount: one, or the parts of a list, a set, a tuple or an interval.

Takes normalised text. Parts that are no numbers have to be equal.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from vr.verify.math import shapes
from vr.verify.math.parts import MAX_UNORDERED, equal_parts, without_membership
from vr.verify.math.scalars import near_scalars, squeezed

_EQUAL_SIGNS = {"=", r"\approx"}
_SAME_AS_BARE = (r"\{", "(")
"""Brackets that a list may be written with or without."""


def equal_within(gold: str, answer: str, tolerance: Sequence[Fraction]) -> bool:
    """Whether an answer has the parts of the reference, none of them further off than the tolerance.

    Args:
        tolerance: one number for all parts, or one for each part of the reference in its order.
    """
    gold, answer = without_membership(gold), without_membership(answer)
    left, right = shapes.members(gold), shapes.members(answer)
    if len(left) != len(right) or len(left) > MAX_UNORDERED:
        return False
    if len(left) == 1:
        return equal_parts(gold, answer) or _near_values(gold, answer, tolerance[0])
    brackets = {_brackets(gold), _brackets(answer)} - {""}
    if len(brackets) > 1 or (_brackets(gold) != _brackets(answer) and not brackets & set(_SAME_AS_BARE)):
        return False
    each = [tolerance[0]] * len(left) if len(tolerance) == 1 else tolerance
    if brackets - {r"\{"}:  # ordered
        return all(equal_within(one, other, (off,)) for one, other, off in zip(left, right, each, strict=True))
    pairs = zip(left, each, strict=True)
    return _have_partners([equal_within(one, other, (off,)) for other in right] for one, off in pairs)


def _brackets(text: str) -> str:
    r"""`(` for a tuple, `\{` for a set, `(]` and the like for an interval; empty for a bare list."""
    held = shapes.bracketed(text)
    if held is None:
        return ""
    return held[0] if (held[0], held[2]) in (("(", ")"), (r"\{", r"\}")) else held[0] + held[2]


def _near_values(gold: str, answer: str, tolerance: Fraction) -> bool:
    """Whether all that a chain of equations claims equal is near the reference: `x = 21/5 = 4.2`, but not `7 = 4.2`."""
    (left_name, golds), (right_name, values) = _named_values(gold), _named_values(answer)
    if left_name and right_name and squeezed(left_name) != squeezed(right_name):
        return False
    return all(near_scalars(one, other, tolerance) for one in golds for other in values)


def _named_values(text: str) -> tuple[str, list[str]]:
    """The name and the terms of `x = 21/5 = 4.2`. Where there is no chain of equations, no name and the text itself."""
    terms, signs = shapes.relation_chain(text) or ([text], [])
    if not set(signs) <= _EQUAL_SIGNS:
        return "", [text]
    return (terms[0], terms[1:]) if signs and shapes.is_name(terms[0]) else ("", terms)


def _have_partners(rows: Iterable[Sequence[bool]]) -> bool:
    """Whether each row can be given a column of its own that fits it: one number may be near several (Kuhn 1955)."""
    fits: list[Sequence[bool]] = []
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column in (column for column, fit in enumerate(fits[row]) if fit and column not in tried):
            tried.add(column)
            if column not in row_of or place(row_of[column], tried):
                row_of[column] = row
                return True
        return False

    for number, row in enumerate(rows):
        fits.append(row)
        if not place(number, set()):
            return False
    return True
