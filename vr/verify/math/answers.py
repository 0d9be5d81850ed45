r"""Mathematics: is the answer of a solution equal to the reference?

In layers, each of which decides or passes on: the same string, a choice letter, words, an exact number, the outer shape
(list, set, tuple, interval, matrix, relation, congruence) with its parts compared one by one, and last math-verify on
two short strings. What no layer finds equal is wrong. Model text is never evaluated as Python.

An answer cannot make itself uncounted: whether the reference can be used is decided from the reference alone, what an
answer may cost is bounded before it is parsed or computed with, and what it makes a library raise is "not equal".

Decisions: a percentage equals its number with or without the sign (50% = 50 = 0.5); units and degrees may be left out
but not differ; a decimal of at least six digits may stand for the number of which it is a rounded or cut-off form;
round and square brackets differ; the order of a list or a set is free, that of a tuple is not; a base is part of the
number, but one that the reference names may be left out; letters of either case and with primes are other variables; a
chain of equations must hold; a reference that is only a name, such as a point, is compared by its spelling.
Does not prove identities: two formulas that sympy cannot show equal are taken as different.
"""

import functools
import re

from vr.verify.choice import read_choice
from vr.verify.extract import ANCHOR, BOX, final_answer
from vr.verify.math import shapes, sympy_bridge
from vr.verify.math.normalise import normalise
from vr.verify.math.parts import equal_parts, without_membership
from vr.verify.math.scalars import MAX_ANSWER_CHARACTERS, is_number, readable_value, squeezed
from vr.verify.math.words import EMPTY_SET, REAL_LINE, equal_words
from vr.verify.printable import printable
from vr.verify.registry import WorkerContext
from vr.verify.types import Finding, Task

_MAX_NESTING = 40
_MAX_NAME_CHARACTERS = 60
_WORD = re.compile(r"\\begin|(?<![\\a-zA-Z])[a-z]{4}")
_NAME = re.compile(r"(?:\\[a-zA-Z|{}]|[a-zA-Z0-9 '(){}\[\]^_,;:=|+*/.!<>-])+")


def judge_math(task: Task, _context: WorkerContext) -> Finding:
    """Compare the answer of a solution with a reference answer or with the box of a reference solution.

    Whether the reference can be used is decided first and from the reference alone: an answer cannot change it.
    """
    gold = _reference_answer(task.reference or "")
    if not gold:
        is_empty = not (task.reference or "").strip()
        return Finding("unparsable_reference", "empty reference" if is_empty else "no answer in the reference")
    if not _is_readable(gold):
        return Finding("unparsable_reference", printable(f"cannot read {gold[:80]!r}"))
    answer = final_answer(task.answer or "")
    if answer is None or not normalise(answer[: MAX_ANSWER_CHARACTERS + 1]):
        return Finding("no_answer", "no box and no 'answer is'")
    if _is_too_long(answer):
        return Finding("wrong", f"answer longer than {MAX_ANSWER_CHARACTERS} characters")
    if _equal_answers(gold, answer):
        return Finding("correct")
    return Finding("wrong", printable(_limit_met(normalise(answer))))


def _reference_answer(reference: str) -> str | None:
    """The answer that a reference solution names, or else the reference itself; None where there is none."""
    names_it = BOX.search(reference) or ANCHOR.search(reference)
    answer = final_answer(reference) if names_it else reference.strip()
    return answer if answer and not _is_too_long(answer) and normalise(answer) else None


def _is_too_long(answer: str) -> bool:
    """Whether an answer is too long to be looked at, as it is written or in LaTeX: one sign may stand for many."""
    return len(answer) > MAX_ANSWER_CHARACTERS or len(normalise(answer)) > 2 * MAX_ANSWER_CHARACTERS


def _limit_met(answer: str) -> str:
    """Why a normalised answer was compared by its spelling alone; empty where it was not."""
    if shapes.depth_of(answer) > _MAX_NESTING:
        return f"brackets nested deeper than {_MAX_NESTING} levels"
    part = next(iter(_smallest_parts(answer)), "")
    return "" if is_number(part) else sympy_bridge.limit_met(part)


@functools.lru_cache(maxsize=64)
def _is_readable(gold: str) -> bool:
    """Whether answers can be compared with this reference: as mathematics, or by their spelling alone.

    By spelling: a name such as `\\triangle ABC`, which has one usual spelling. A reference of which right answers would
    have several, or that is broken off, is not readable, and then not even the same string counts.
    """
    text = normalise(gold)
    if shapes.depth_of(text) > _MAX_NESTING:
        return False
    if not any(character.isalnum() for character in text) and squeezed(text) not in EMPTY_SET:
        return False
    if re.search(r"\\(?:frac|sqrt|binom)\s*(?:\{\s*\}|$)", text) or not shapes.balanced(re.sub(r"[\[\]()]", "", text)):
        return False
    if read_choice(text) or equal_words(text, "") is not None or squeezed(text) in REAL_LINE | EMPTY_SET:
        return True
    return all(readable_value(part) or _is_name(part) for part in _smallest_parts(without_membership(text)))


def _is_name(text: str) -> bool:
    """Whether a text is short and of LaTeX alone, without words or environments, so that its spelling stands for it."""
    return len(text) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(text) is not None and not _WORD.search(text)


def _smallest_parts(text: str) -> list[str]:
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
    return [part for piece in pieces for part in _smallest_parts(piece)]


def _equal_answers(gold: str, answer: str) -> bool:
    """Whether two answers, as extracted, are equal."""
    left, right = normalise(gold), normalise(answer)
    if squeezed(left) == squeezed(right):
        return True
    if (chosen := _equal_choice(left, right)) is not None:
        return chosen
    if (spoken := equal_words(left, right)) is not None:
        return spoken
    if max(shapes.depth_of(left), shapes.depth_of(right)) > _MAX_NESTING:
        return False  # the comparison by parts recurses into brackets
    return equal_parts(left, right) or _equal_as_spaced_list(gold, answer)


def _equal_choice(gold: str, answer: str) -> bool | None:
    """Compare letters where the reference is one; None where it is none."""
    choice = read_choice(gold)
    if choice is None or (re.fullmatch(r"[A-J]\W+.*", gold) and not re.match(r"[A-J][.:)]", gold)):
        return None
    letter, content = choice
    chosen = read_choice(answer) or (read_choice(answer.upper()) if len(answer) <= 3 else None)
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
