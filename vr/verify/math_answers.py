r"""Mathematics: is the answer of a solution equal to the reference?

In layers, each of which decides or passes on: the same string, a choice letter, words, an exact number,
the outer shape (list, set, tuple, interval, matrix, relation) with its parts compared one by one, and last
math-verify on two short strings. What no layer finds equal is wrong. Model text is never evaluated as Python.

Decisions: a percentage equals its number with or without the sign (50% = 50 = 0.5); units and degrees may
be left out but not differ; a decimal of at least six digits may stand for the number that rounds to it;
round and square brackets differ; the order of a list or a set is free, that of a tuple is not.
Does not prove identities: two formulas that sympy cannot show equal are taken as different.
"""

from __future__ import annotations

import itertools
import re

from vr.verify import engine, shapes
from vr.verify.choice import read_choice
from vr.verify.extract import ANCHOR, BOX, final_answer
from vr.verify.normalise import normalise, words
from vr.verify.registry import Workplace
from vr.verify.scalars import (
    MAX_ANSWER_CHARACTERS,
    Rule,
    equal_scalars,
    first_decision,
    light,
    readable_value,
    squeezed,
)
from vr.verify.types import Finding, Task

MAX_NESTING = 40

NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
REAL_LINE = {r"\mathbb{R}", r"(-\infty,\infty)", "allrealnumbers", "allreals", r"(-\infty,+\infty)"}
EMPTY_SET = {r"\emptyset", r"\{\}", "nosolution", "nosolutions", "norealsolutions", "none"}
MEMBER_OF = re.compile(r"\\?[a-zA-Z](?:_\{?\w\}?)?\s*\\in(?![a-zA-Z])\s*")


def warm_up() -> None:
    """Called by the hub once, before it forks workers."""
    engine.warm_up()


def judge_math(task: Task, _workplace: Workplace) -> Finding:
    """Compare the answer of a solution with a reference answer or the box of a reference solution."""
    gold = reference_answer(task.reference or "")
    if not gold:
        is_empty = not (task.reference or "").strip()
        return Finding("unparsable_reference", "empty reference" if is_empty else "no answer in the reference")
    answer = final_answer(task.answer or "")
    if answer is None or not normalise(answer[: MAX_ANSWER_CHARACTERS + 1]):
        return Finding("no_answer", "no box and no 'answer is'")
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return Finding("wrong", f"answer longer than {MAX_ANSWER_CHARACTERS} characters")
    if equal_answers(gold, answer):
        return Finding("correct")
    if not readable(gold):
        return Finding("unparsable_reference", f"cannot read {gold[:80]!r}")
    return Finding("wrong")


def reference_answer(reference: str) -> str | None:
    """The reference itself where it is an answer; the answer that it names where it is a solution."""
    names_it = BOX.search(reference) or ANCHOR.search(reference)
    answer = final_answer(reference) if names_it else reference.strip()
    return answer if answer and len(answer) <= MAX_ANSWER_CHARACTERS and normalise(answer) else None


def readable(gold: str) -> bool:
    """Whether a comparison with this reference could have succeeded by more than the same string."""
    text = normalise(gold)
    if not any(character.isalnum() for character in text) and squeezed(text) not in EMPTY_SET:
        return False
    if re.search(r"\\(?:frac|sqrt|binom)\s*(?:\{\s*\}|$)", text) or not shapes.balanced(re.sub(r"[\[\]()]", "", text)):
        return False
    if read_choice(text) or equal_words(text, "") is not None or squeezed(text) in REAL_LINE | EMPTY_SET:
        return True
    return all(readable_value(part) for part in smallest_parts(MEMBER_OF.sub("", text)))


def smallest_parts(text: str) -> list[str]:
    """The single values that an answer is made of."""
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


def equal_answers(gold: str, answer: str) -> bool:
    """Whether two answers, as extracted, are equal."""
    left, right = normalise(gold), normalise(answer)
    if squeezed(left) == squeezed(right):
        return True
    if (chosen := equal_choice(left, right)) is not None:
        return chosen
    if (spoken := equal_words(left, right)) is not None:
        return spoken
    if max(shapes.depth_of(left), shapes.depth_of(right)) > MAX_NESTING:
        return False
    return equal_parts(left, right) or equal_as_spaced_list(gold, answer)


def equal_choice(gold: str, answer: str) -> bool | None:
    """Compare letters where the reference is one; None where it is none."""
    choice = read_choice(gold)
    if choice is None or (re.fullmatch(r"[A-J]\W+.*", gold) and not re.match(r"[A-J][.:)]", gold)):
        return None
    letter, content = choice
    chosen = read_choice(answer) or (read_choice(answer.upper()) if len(answer) <= 3 else None)
    if chosen is not None:
        return chosen[0] == letter
    return bool(content) and equal_parts(normalise(content), answer)


def equal_words(gold: str, answer: str) -> bool | None:
    """Compare as words where the reference consists of words; None where it does not."""
    left, right = words(gold), words(answer)
    for names in (REAL_LINE, EMPTY_SET):
        if any(squeezed(form) in names for form in (gold, left)):
            if any(squeezed(form) in names for form in (answer, right)):
                return True
            if squeezed(left) in names and "\\" not in gold:
                return None
    if right in NUMBER_WORDS and re.fullmatch(r"\d{1,2}", gold):
        return NUMBER_WORDS.index(right) == int(gold)
    if left in NUMBER_WORDS and re.fullmatch(r"\d{1,2}", answer):
        return NUMBER_WORDS.index(left) == int(answer)
    is_words = re.fullmatch(r"[^\W\d_][^\W\d_ ,'/-]*(?:[ ,'/-]+[^\W\d_]+)*", left) is not None
    marked = r"\text" in gold and not re.sub(r"\\text\s*\{[^{}]*\}", "", gold).strip(" ,.()\\")
    if is_words and (marked or (len(left) > 3 and "\\" not in gold and "^" not in gold)):
        return left == right or strip_article(left) == strip_article(right)
    return None


def strip_article(text: str) -> str:
    """Words without a leading article."""
    return re.sub(r"^(?:the|an?) ", "", text)


def equal_as_spaced_list(gold: str, answer: str) -> bool:
    """``100, 200`` against ``100,200``: the comma separates where either side has a space after it."""
    if not any(re.search(r"\d,\s+\d", text) for text in (gold, answer)):
        return False
    left, right = (re.sub(r"(?<=\d),\s*(?=\d)", ", ", re.sub(r"[${}\\]", "", text)) for text in (gold, answer))
    pattern = r"\s*-?\d{1,3}(, -?\d{1,3})+\s*"
    if not (re.fullmatch(pattern, left) and re.fullmatch(pattern, right)):
        return False
    return sorted(left.replace(" ", "").split(",")) == sorted(right.replace(" ", "").split(","))


def equal_parts(gold: str, answer: str) -> bool:
    """Compare two normalised strings by shape, then by value."""
    if squeezed(gold) == squeezed(answer):
        return True
    gold, answer = MEMBER_OF.sub("", gold), MEMBER_OF.sub("", answer)
    decided = first_decision(gold, answer, SHAPE_RULES)
    if decided is None and (r"\pm" in gold or r"\pm" in answer):
        decided = equal_unordered(expand_signs(gold), expand_signs(answer))
    return equal_scalars(gold, answer) if decided is None else decided


def by_matrix(gold: str, answer: str) -> bool | None:
    """Matrices: the same rows and columns, every cell equal."""
    left, right = shapes.matrix_rows(gold), shapes.matrix_rows(answer)
    if left is None and right is None:
        return None
    if left is None or right is None:
        column = left or right or []
        flat = shapes.bracketed(answer if left else gold)
        if flat and flat[0] == "(" and all(len(row) == 1 for row in column):
            return equal_ordered([row[0] for row in column], flat[1])
        return False
    if [len(row) for row in left] != [len(row) for row in right]:
        return False
    return equal_ordered(list(itertools.chain(*left)), list(itertools.chain(*right)))


def by_list(gold: str, answer: str) -> bool | None:
    """Bare lists and sets: the same items in any order. Against a tuple the order counts."""
    if shapes.matrix_rows(gold) or shapes.matrix_rows(answer):
        return None
    left, right = shapes.bracketed(gold), shapes.bracketed(answer)
    left_items, right_items = unordered_items(gold), unordered_items(answer)
    if left_items is None and right_items is None:
        return None
    if left_items is None or right_items is None:
        ordered, bare = (left, right_items) if right_items is not None else (right, left_items)
        bare_text = answer if right_items is not None else gold
        if ordered and ordered[0] == "(" and ordered[2] == ")" and bare and not bare_text.startswith(r"\{"):
            return equal_ordered(ordered[1], bare) if len(ordered[1]) > 1 else None
        if len(right_items or left_items or []) == 1 and ordered is None:
            single = (right_items or left_items or [""])[0]
            return equal_parts(gold, single) if right_items is not None else equal_parts(single, answer)
        left_items = left_items if left_items is not None else expand_signs(gold)
        right_items = right_items if right_items is not None else expand_signs(answer)
    return equal_unordered(with_signs(left_items), with_signs(right_items))


def unordered_items(text: str) -> list[str] | None:
    r"""The items of ``\{a,b\}`` or of a bare list of at least two; None for anything else."""
    held = shapes.bracketed(text)
    if held:
        return [item for item in held[1] if item] if held[0] == r"\{" else None
    items = shapes.list_items(text)
    return items if len(items) > 1 else None


def with_signs(items: list[str]) -> list[str]:
    """Every item with its plus-minus written out."""
    return [expanded for item in items for expanded in expand_signs(item)]


def expand_signs(text: str) -> list[str]:
    r"""``1 \pm \sqrt{2}`` as its two values; a text without ``\pm`` as itself."""
    if r"\pm" not in text and r"\mp" not in text:
        return [text]
    upper = re.sub(r"\\mp(?![a-zA-Z])", "-", re.sub(r"\\pm(?![a-zA-Z])", "+", text))
    lower = re.sub(r"\\mp(?![a-zA-Z])", "+", re.sub(r"\\pm(?![a-zA-Z])", "-", text))
    return [re.sub(r"(^|=)\s*\+", r"\1", upper.strip()), lower.strip()]


def equal_ordered(gold: list[str], answer: list[str]) -> bool:
    """The same number of parts, pairwise equal."""
    return len(gold) == len(answer) and all(map(equal_parts, gold, answer))


def equal_unordered(gold: list[str], answer: list[str]) -> bool:
    """The same number of parts, equal in some order."""
    left, rest = distinct(gold), distinct(answer)
    if len(left) != len(rest) or len(left) > 60:
        return False
    for item in left:
        found = next((index for index, other in enumerate(rest) if equal_parts(item, other)), None)
        if found is None:
            return False
        del rest[found]
    return True


def distinct(items: list[str]) -> list[str]:
    """Items without repeated spellings: a set that names 2 twice holds one 2."""
    return list({squeezed(item): item for item in items}.values())


def by_intervals(gold: str, answer: str) -> bool | None:
    """Intervals, their unions and the inequalities that say the same, in any order of the parts."""
    left, right = shapes.intervals_of(gold), shapes.intervals_of(answer)
    if left is None or right is None:
        return None
    if left[0] and right[0] and squeezed(left[0]) != squeezed(right[0]):
        return False
    if len(left[1]) == 1 and len(right[1]) == 1:
        return same_interval(left[1][0], right[1][0])
    rest = list(right[1])
    for interval in left[1]:
        found = next((other for other in rest if same_interval(interval, other)), None)
        if found is None:
            return None  # unions may be cut up in other ways: left to algebra
        rest.remove(found)
    return not rest or None


def same_interval(gold: shapes.Interval, answer: shapes.Interval) -> bool:
    """The same brackets round equal ends."""
    return gold[0] == answer[0] and gold[3] == answer[3] and equal_ordered(list(gold[1:3]), list(answer[1:3]))


def by_brackets(gold: str, answer: str) -> bool | None:
    """Tuples: the same brackets, the same parts in the same order."""
    left, right = shapes.bracketed(gold), shapes.bracketed(answer)
    if left is None or right is None or len(left[1]) < 2 or len(right[1]) < 2:
        return None
    return left[0] == right[0] and left[2] == right[2] and equal_ordered(left[1], right[1])


def by_relation(gold: str, answer: str) -> bool | None:
    """Equations and inequalities, also against a bare value."""
    left, right = shapes.relation_chain(gold), shapes.relation_chain(answer)
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return equal_parts(gold, right[0][-1]) if set(right[1]) <= {"="} else None
    if right is None:
        terms, relations = left
        if set(relations) <= {"="} and shapes.is_name(terms[0]):
            return equal_parts(terms[-1], answer)
        return False if set(relations) <= {"="} else None
    if set(left[1]) == {"="} and set(right[1]) == {"="}:
        return equal_equations(left[0], right[0])
    if left[1] != right[1] and left[1] == [shapes.FLIPPED.get(r, r) for r in right[1][::-1]]:
        right = (right[0][::-1], left[1])
    if left[1] == right[1] and equal_ordered(left[0], right[0]):
        return True
    if "=" in left[1] or "=" in right[1] or not light(gold) or not light(answer):
        return False
    return engine.same_value(gold, answer)


def equal_equations(gold: list[str], answer: list[str]) -> bool:
    """x = 3 against y = 3 (different), y = 2x+1 against 2x - y + 1 = 0 (equal)."""
    left, right = (gold[0], gold[-1]), (answer[0], answer[-1])
    both_named = shapes.is_name(left[0]) and shapes.is_name(right[0]) and not shapes.is_name(right[1])
    if both_named and squeezed(left[0]) == squeezed(right[0]):
        return equal_parts(left[1], right[1])
    if equal_parts(left[0], right[0]) and equal_parts(left[1], right[1]):
        return True
    return all(map(light, (*left, *right))) and engine.same_equation(left, right)


SHAPE_RULES: tuple[Rule, ...] = (by_matrix, by_intervals, by_list, by_brackets, by_relation)
