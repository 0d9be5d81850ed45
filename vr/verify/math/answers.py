r"""Mathematics: is the answer of a solution equal to the reference?

In layers, each of which decides or passes on: the same string, a choice letter, words, an exact number, the outer shape
(list, set, tuple, interval, matrix, relation, congruence) with its parts compared one by one, and last math-verify on
two short strings. What no layer finds equal is wrong, unless the question states a tolerance that it is within. Model
text is never evaluated as Python.

An answer cannot make itself uncounted: whether the reference can be used is decided from the reference alone, what an
answer may cost is bounded before it is parsed or computed with, and what it makes a library raise is "not equal".

Decisions: a percentage equals its number with or without the sign (50% = 50 = 0.5); units and degrees may be left out
but not differ; a decimal of at least six digits may stand for the number of which it is a rounded or cut-off form;
round and square brackets differ; the order of a list or a set is free, that of a tuple is not; a base is part of the
number, but one that the reference names may be left out; letters of either case and with primes are other variables; a
chain of equations must hold; a reference that is only a name, such as a point, is compared by its spelling.
Does not prove identities: two formulas that sympy cannot show equal are taken as different.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

from vr.verify.choice import read_choice, read_chosen
from vr.verify.extract import final_answer
from vr.verify.math import shapes, sympy_bridge
from vr.verify.math.normalise import normalise
from vr.verify.math.parts import equal_parts
from vr.verify.math.references import MAX_NESTING, UnusableReferenceError, accepted, is_too_long, smallest_parts
from vr.verify.math.scalars import MAX_ANSWER_CHARACTERS, is_number, squeezed
from vr.verify.math.tolerance import equal_within
from vr.verify.math.words import equal_words
from vr.verify.printable import printable
from vr.verify.registry import WorkerContext
from vr.verify.types import Finding, Task


def judge_math(task: Task, _context: WorkerContext) -> Finding:
    """Compare the answer of a solution with what the question accepts.

    Whether that can be used is decided first and without the answer: an answer cannot change it.
    """
    try:
        right = accepted(task.reference or "", task.tests)
    except UnusableReferenceError as reason:
        return Finding("unparsable_reference", printable(str(reason)))
    answer = final_answer(task.answer or "")
    if answer is None or not normalise(answer[: MAX_ANSWER_CHARACTERS + 1]):
        return Finding("no_answer", "no box and no 'answer is'")
    if is_too_long(answer):
        return Finding("wrong", f"answer longer than {MAX_ANSWER_CHARACTERS} characters")
    if any(_equal_answers(gold, answer) or _near_answers(gold, answer, right.tolerance) for gold in right.references):
        return Finding("correct")
    return Finding("wrong", printable(_limit_met(normalise(answer))))


def _limit_met(answer: str) -> str:
    """Why a normalised answer was compared by its spelling alone; empty where it was not."""
    if shapes.depth_of(answer) > MAX_NESTING:
        return f"brackets nested deeper than {MAX_NESTING} levels"
    part = next(iter(smallest_parts(answer)), "")
    return "" if is_number(part) else sympy_bridge.limit_met(part)


def _equal_answers(gold: str, answer: str) -> bool:
    """Whether two answers, as extracted, are equal."""
    left, right = normalise(gold), normalise(answer)
    if squeezed(left) == squeezed(right):
        return True
    if (chosen := _equal_choice(left, right)) is not None:
        return chosen
    if (spoken := equal_words(left, right)) is not None:
        return spoken
    if max(shapes.depth_of(left), shapes.depth_of(right)) > MAX_NESTING:
        return False  # the comparison by parts recurses into brackets
    return equal_parts(left, right) or _equal_as_spaced_list(gold, answer)


def _near_answers(gold: str, answer: str, tolerance: Sequence[Fraction]) -> bool:
    """Whether two answers, as extracted, are equal but for a tolerance; False where none is stated."""
    left, right = normalise(gold), normalise(answer)
    if not tolerance or max(shapes.depth_of(left), shapes.depth_of(right)) > MAX_NESTING:
        return False
    return equal_within(left, right, tolerance)


def _equal_choice(gold: str, answer: str) -> bool | None:
    """Compare letters where the reference is one; None where it is none."""
    choice = read_choice(gold)
    if choice is None or (re.fullmatch(r"[A-J]\W+.*", gold) and not re.match(r"[A-J][.:)]", gold)):
        return None
    letter, content = choice
    chosen = read_chosen(answer)
    if chosen is not None:
        return chosen[0] == letter
    return bool(content) and equal_parts(normalise(content), answer)


def _equal_as_spaced_list(gold: str, answer: str) -> bool:
    """`100, 200` against `100,200`: the comma separates two numbers where either side has a space after it."""
    if not any(re.search(r"\d,\s+\d", text) for text in (gold, answer)):
        return False
    left, right = (re.sub(r"(?<=\d),\s*(?=\d)", ", ", re.sub(r"[${}\\]", "", text)) for text in (gold, answer))
    pattern = r"\s*-?\d{1,3}(, -?\d{1,3})+\s*"
    if not (re.fullmatch(pattern, left) and re.fullmatch(pattern, right)):
        return False
    return sorted(left.replace(" ", "").split(",")) == sorted(right.replace(" ", "").split(","))
