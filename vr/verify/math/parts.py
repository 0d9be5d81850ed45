r"""Comparing two normalised answers by their outer shape, part by part, and single values at the end.

The shapes: congruence, matrix, interval or union, list or set, tuple, relation. Each has a rule, which decides or
passes on (None). What no rule decides is compared as a single value.
"""

import itertools
import re

from vr.verify.math import shapes, sympy_bridge
from vr.verify.math.scalars import Rule, equal_scalars, first_decision, is_number, squeezed

MAX_UNORDERED = 60
_MAX_EQUATIONS = 10
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![a-zA-Z])")
_MEMBER_OF = re.compile(r"\\?[a-zA-Z](?:_\{?\w\}?)?\s*\\in(?![a-zA-Z])\s*")


def equal_parts(gold: str, answer: str) -> bool:
    """Whether two normalised strings are equal, by shape and then by value."""
    if squeezed(gold) == squeezed(answer):
        return True
    gold, answer = without_membership(gold), without_membership(answer)
    decided = first_decision(gold, answer, _SHAPE_RULES)
    if decided is None and (_PLUS_MINUS.search(gold) or _PLUS_MINUS.search(answer)):
        decided = _equal_unordered(_expand_signs(gold), _expand_signs(answer))
    return equal_scalars(gold, answer) if decided is None else decided


def without_membership(text: str) -> str:
    r"""The set in `x \in (0, 1)`; any other text as it is."""
    return _MEMBER_OF.sub("", text)


def _by_matrix(gold: str, answer: str) -> bool | None:
    """Matrices: the same rows and columns, every cell equal. A column may be written as a tuple."""
    left, right = shapes.matrix_rows(gold), shapes.matrix_rows(answer)
    if left is None and right is None:
        return None
    if left is None or right is None:
        column = left or right or []
        flat = shapes.bracketed(answer if left else gold)
        if flat and flat[0] == "(" and all(len(row) == 1 for row in column):
            return _equal_ordered([row[0] for row in column], flat[1])
        return False
    if [len(row) for row in left] != [len(row) for row in right]:
        return False
    return _equal_ordered(list(itertools.chain(*left)), list(itertools.chain(*right)))


def _by_intervals(gold: str, answer: str) -> bool | None:
    """Intervals, their unions and the inequalities that say the same, in any order of the parts."""
    left, right = shapes.intervals_of(gold), shapes.intervals_of(answer)
    if left is None or right is None:
        return None
    if left[0] and right[0] and squeezed(left[0]) != squeezed(right[0]):
        return False
    if len(left[1]) == 1 and len(right[1]) == 1:
        return _same_interval(left[1][0], right[1][0])
    rest = list(right[1])
    for interval in left[1]:
        found = next((other for other in rest if _same_interval(interval, other)), None)
        if found is None:
            return None  # a union may be cut into intervals in several ways: left to algebra
        rest.remove(found)
    return not rest or None


def _same_interval(gold: shapes.Interval, answer: shapes.Interval) -> bool:
    """The same brackets round equal ends."""
    return gold[0] == answer[0] and gold[3] == answer[3] and _equal_ordered(list(gold[1:3]), list(answer[1:3]))


def _by_list(gold: str, answer: str) -> bool | None:
    """Bare lists and sets: the same items in any order. Against a tuple the order counts."""
    if shapes.matrix_rows(gold) or shapes.matrix_rows(answer):
        return None
    left, right = _unordered_items(gold), _unordered_items(answer)
    if left is not None and right is not None:
        return _equal_unordered(_with_signs(left), _with_signs(right))
    listed, other = (answer, gold) if left is None else (gold, answer)
    items = right if left is None else left
    if items is None:
        return None
    if _is_tuple(other) and items and not listed.startswith(r"\{"):
        return _equal_to_tuple(other, items)
    if len(items) == 1 and shapes.bracketed(other) is None:
        return equal_parts(gold, items[0]) if left is None else equal_parts(items[0], answer)
    if items and all(equal_parts(gold, item) if left is None else equal_parts(item, answer) for item in items):
        return True  # one value, written in several ways
    return _equal_unordered(
        _with_signs([gold] if left is None else left), _with_signs([answer] if right is None else right)
    )


def _unordered_items(text: str) -> list[str] | None:
    r"""The items of `\{a,b\}` or of a bare list of at least two; None for anything else."""
    held = shapes.bracketed(text)
    if held:
        return [item for item in held[1] if item] if held[0] == r"\{" else None
    items = shapes.list_items(text)
    return items if len(items) > 1 else None


def _is_tuple(text: str) -> bool:
    held = shapes.bracketed(text)
    return held is not None and held[0] == "(" and held[2] == ")"


def _equal_to_tuple(text: str, items: list[str]) -> bool | None:
    """A tuple against the items of a bare list, in order; None where the brackets hold a single value."""
    held = shapes.bracketed(text)
    assert held is not None
    return _equal_ordered(held[1], items) if len(held[1]) > 1 else None


def _with_signs(items: list[str]) -> list[str]:
    """The items, each with its plus-minus written out as two values."""
    return [expanded for item in items for expanded in _expand_signs(item)]


def _expand_signs(text: str) -> list[str]:
    r"""The two values of `1 \pm \sqrt{2}`; a text without `\pm` as it is."""
    if not _PLUS_MINUS.search(text):
        return [text]
    upper = re.sub(r"\\mp(?![a-zA-Z])", "-", re.sub(r"\\pm(?![a-zA-Z])", "+", text))
    lower = re.sub(r"\\mp(?![a-zA-Z])", "+", re.sub(r"\\pm(?![a-zA-Z])", "-", text))
    return [re.sub(r"(^|=)\s*\+", r"\1", upper.strip()), lower.strip()]


def _equal_ordered(gold: list[str], answer: list[str]) -> bool:
    """The same number of parts, pairwise equal."""
    return len(gold) == len(answer) and all(map(equal_parts, gold, answer))


def _equal_unordered(gold: list[str], answer: list[str]) -> bool:
    """The same number of parts, equal in some order."""
    left, rest = _distinct(gold), _distinct(answer)
    if len(left) != len(rest) or len(left) > MAX_UNORDERED:
        return False
    for item in left:
        found = next((index for index, other in enumerate(rest) if equal_parts(item, other)), None)
        if found is None:
            return False
        del rest[found]
    return True


def _distinct(items: list[str]) -> list[str]:
    """The items without repeated spellings: a set that names 2 twice holds one 2."""
    return list({squeezed(item): item for item in items}.values())


def _by_brackets(gold: str, answer: str) -> bool | None:
    """Tuples: the same brackets, the same parts in the same order."""
    left, right = shapes.bracketed(gold), shapes.bracketed(answer)
    if left is None or right is None or len(left[1]) < 2 or len(right[1]) < 2:
        return None
    return left[0] == right[0] and left[2] == right[2] and _equal_ordered(left[1], right[1])


def _by_relation(gold: str, answer: str) -> bool | None:
    """Equations and inequalities, also against a bare value."""
    left, right = shapes.relation_chain(gold), shapes.relation_chain(answer)
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return _names_value(right[0], gold) if set(right[1]) <= {"="} else None
    if right is None:
        return _relation_to_value(left, answer)
    if set(left[1]) == {"="} and set(right[1]) == {"="}:
        return _equal_equations(left[0], right[0])
    if left[1] != right[1] and left[1] == [shapes.FLIPPED.get(r, r) for r in right[1][::-1]]:
        right = (right[0][::-1], left[1])
    if left[1] == right[1] and _equal_ordered(left[0], right[0]):
        return True
    return "=" not in left[1] + right[1] and sympy_bridge.same_value(gold, answer)


def _names_value(terms: list[str], value: str) -> bool:
    """`x = 2+3 = 5` names 5. `7 = 5` names nothing, and neither does `x = 7 = 5`: they are not true."""
    return equal_parts(terms[-1], value) and _holds(terms)


def _holds(terms: list[str]) -> bool:
    """Whether a chain of equations says nothing false after its first term, nor in that if it is a number."""
    claimed = terms[:-1] if is_number(terms[0]) else terms[1:-1]
    return len(terms) <= _MAX_EQUATIONS and all(equal_parts(term, terms[-1]) for term in claimed)


def _relation_to_value(relation: tuple[list[str], list[str]], value: str) -> bool | None:
    """x = 3 against 3 (equal), x + 1 = 4 against 3 (different); None for an inequality."""
    terms, signs = relation
    if not set(signs) <= {"="}:
        return None
    return shapes.is_name(terms[0]) and equal_parts(terms[-1], value)


def _equal_equations(gold: list[str], answer: list[str]) -> bool:
    """x = 3 against y = 3 (different), y = 2x+1 against 2x - y + 1 = 0 (equal)."""
    if not _holds(answer):
        return False
    left, right = (gold[0], gold[-1]), (answer[0], answer[-1])
    both_named = shapes.is_name(left[0]) and shapes.is_name(right[0]) and not shapes.is_name(right[1])
    if both_named and squeezed(left[0]) == squeezed(right[0]):
        return equal_parts(left[1], right[1])
    if equal_parts(left[0], right[0]) and equal_parts(left[1], right[1]):
        return True
    return sympy_bridge.same_equation(left, right)


def _by_congruence(gold: str, answer: str) -> bool | None:
    """`x = 3 mod 7`: the same modulus and the same residue. Where one side leaves it out, the residue itself counts."""
    left, right = shapes.congruence(gold), shapes.congruence(answer)
    if left is None and right is None:
        return None
    if right is None:
        assert left is not None
        return equal_parts(left.as_equation(), answer)
    if left is None:
        return right.is_reduced() and equal_parts(gold, right.as_equation())
    if (left.name and right.name and squeezed(left.name) != squeezed(right.name)) or left.modulus != right.modulus:
        return False
    residues = left.residue(), right.residue()
    return residues[0] == residues[1] if None not in residues else equal_parts(left.value, right.value)


_SHAPE_RULES: tuple[Rule, ...] = (_by_congruence, _by_matrix, _by_intervals, _by_list, _by_brackets, _by_relation)
