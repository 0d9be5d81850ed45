r"""What counts as a right mathematical answer: the reference, others beside it, and how far off a number may be.

All of it is decided without an answer, so that no answer can change whether a reference can be used.
"""

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from vr.verify.choice import read_choice
from vr.verify.extract import ANCHOR, BOX, final_answer
from vr.verify.math import shapes
from vr.verify.math.normalise import normalise
from vr.verify.math.parts import without_membership
from vr.verify.math.scalars import MAX_ANSWER_CHARACTERS, readable_value, squeezed
from vr.verify.math.words import EMPTY_SET, REAL_LINE, equal_words

MAX_NESTING = 40
_MAX_NAME_CHARACTERS = 60
_WORD = re.compile(r"\\begin|(?<![\\a-zA-Z])[a-z]{4}")
_NAME = re.compile(r"(?:\\[a-zA-Z|{}]|[a-zA-Z0-9 '(){}\[\]^_,;:=|+*/.!<>-])+")
_KEYS = ("also", "tolerance")


class UnusableReferenceError(ValueError):
    """Nothing can be compared with what a question gives as its answer."""


class Accepted(NamedTuple):
    """The answers any of which is right.

    references: those that can be read, at least one.
    tolerance: absolute, in the unit of the answer: one number for all of it, or one for each part; empty: exact.
    """

    references: Sequence[str]
    tolerance: Sequence[Fraction]


def accepted(reference: str, tests: str | None) -> Accepted:
    """What a question accepts. Of several references those that cannot be read are passed over.

    Args:
        reference: the answer, or a solution with a box.
        tests: JSON, `{"also": [reference, ...], "tolerance": 0.1}` or a tolerance for each part, `[0.1, 0]`; or None.

    Raises:
        UnusableReferenceError: no reference can be read, or the tests are not as above.
    """
    stated = _stated(tests) if tests else {}
    found = {text: named_answer(text) for text in (reference, *_also(stated))}
    references = [answer for answer in found.values() if answer and is_readable(answer)]
    if not references:
        raise UnusableReferenceError(_why_unusable(reference))
    return Accepted(references, _tolerance(stated, references))


def _why_unusable(reference: str) -> str:
    if not reference.strip():
        return "empty reference"
    answer = named_answer(reference)
    return f"cannot read {answer[:80]!r}" if answer else "no answer in the reference"


def _stated(tests: str) -> Mapping[str, Any]:
    try:
        stated = json.loads(tests)
    except (ValueError, RecursionError) as error:
        raise UnusableReferenceError("tests: not JSON") from error
    if not isinstance(stated, dict) or not stated.keys() <= set(_KEYS):
        raise UnusableReferenceError(f"tests: not an object of {' and '.join(_KEYS)}")
    return stated


def _also(stated: Mapping[str, Any]) -> list[str]:
    also = stated.get("also", [])
    if not isinstance(also, list) or not all(isinstance(text, str) and text.strip() for text in also):
        raise UnusableReferenceError("tests: also is not a list of answers")
    return also


def _tolerance(stated: Mapping[str, Any], references: Sequence[str]) -> Sequence[Fraction]:
    """The tolerance that is stated. One for each part suits only references of so many parts."""
    tolerance = stated.get("tolerance", [])
    each = tolerance if isinstance(tolerance, list) else [tolerance]
    if not all(_is_distance(number) for number in each) or ("tolerance" in stated and not each):
        raise UnusableReferenceError("tests: tolerance is not a number from 0, nor a list of such numbers")
    if isinstance(tolerance, list) and each:
        counts = {len(shapes.members(without_membership(normalise(text)))) for text in references} - {len(each)}
        if counts:
            raise UnusableReferenceError(f"tests: {len(each)} tolerances for a reference of {counts.pop()} parts")
    return tuple(Fraction(repr(number)) for number in each)


def _is_distance(number: Any) -> bool:
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and 0 <= number < 10**300 and math.isfinite(number)


def named_answer(reference: str) -> str | None:
    """The answer that a reference solution names, or else the reference itself; None where there is none."""
    names_it = BOX.search(reference) or ANCHOR.search(reference)
    answer = final_answer(reference) if names_it else reference.strip()
    return answer if answer and not is_too_long(answer) and normalise(answer) else None


def is_too_long(answer: str) -> bool:
    """Whether an answer is too long to be looked at, as it is written or in LaTeX: one sign may stand for many."""
    return len(answer) > MAX_ANSWER_CHARACTERS or len(normalise(answer)) > 2 * MAX_ANSWER_CHARACTERS


@functools.lru_cache(maxsize=64)
def is_readable(gold: str) -> bool:
    """Whether answers can be compared with this reference: as mathematics, or by their spelling alone.

    By spelling: a name such as `\\triangle ABC`, which has one usual spelling. A reference of which right answers would
    have several, or that is broken off, is not readable, and then not even the same string counts.
    """
    text = normalise(gold)
    if shapes.depth_of(text) > MAX_NESTING:
        return False
    if not any(character.isalnum() for character in text) and squeezed(text) not in EMPTY_SET:
        return False
    if re.search(r"\\(?:frac|sqrt|binom)\s*(?:\{\s*\}|$)", text) or not shapes.balanced(re.sub(r"[\[\]()]", "", text)):
        return False
    if read_choice(text) or equal_words(text, "") is not None or squeezed(text) in REAL_LINE | EMPTY_SET:
        return True
    return all(readable_value(part) or _is_name(part) for part in smallest_parts(without_membership(text)))


def _is_name(text: str) -> bool:
    """Whether a text is short and of LaTeX alone, without words or environments, so that its spelling stands for it."""
    return len(text) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(text) is not None and not _WORD.search(text)


def smallest_parts(text: str) -> list[str]:
    """The single values that an answer is made of."""
    if congruence := shapes.congruence(text):
        return [congruence.value]
    rows, chain, held = shapes.matrix_rows(text), shapes.relation_chain(text), shapes.bracketed(text)
    if rows is not None:
        return [cell for row in rows for cell in row]
    pieces = shapes.split_outside(text, r"\cup")
    if len(pieces) == 1:
        pieces = shapes.list_items(text)
    if len(pieces) == 1 and chain is not None:
        pieces = chain[0]
    if len(pieces) == 1 and held is not None and len(held[1]) > 1:
        pieces = held[1]
    if len(pieces) <= 1:
        return [text]
    return [part for piece in pieces for part in smallest_parts(piece)]
