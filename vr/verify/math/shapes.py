r"""The outer shape of a normalised answer: list, set, tuple or interval, union, matrix, relation chain, congruence.

Texts are split only outside all brackets. Nothing is evaluated, and nothing about values is decided here.
"""

import re
from typing import NamedTuple

_LISTS_WORDS = re.compile(r" ?,? ?(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z]))\s*")
_MATRIX = re.compile(r"[\[(]?\s*\\begin\{([pbvBV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}\s*[\])]?", re.DOTALL)
_RELATION = re.compile(r"\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z])|\\approx|<=|>=|!=|<|>|=")
_SPELLING_OF = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne"}
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
_NAME = re.compile(
    r"(?:\\(?:angle|overline|widehat|vec|text|mathcal|operatorname|triangle|measuredangle)\s*)*"
    r"\{?\\?[a-zA-Z]+'*(?:\}'*)?(?:_(?:\{[^{}]*\}|\w)'*)?\s*(?:\([a-zA-Z0-9_{}, ]*\))?"
    r"|\(\s*[a-zA-Z](?:_\{?\w\}?)?(?:\s*,\s*[a-zA-Z](?:_\{?\w\}?)?)+\s*\)"
)
_VARIABLE = re.compile(r"[a-zA-Z](?:_(?:\{\w+\}|\w))?|\\(?:theta|alpha|beta|lambda|phi|omega|mu)")
_OPENING, _CLOSING = "([{", ")]}"


def split_outside(text: str, separator: str) -> list[str]:
    r"""Split at a one-character separator or a command such as `\cup`, outside all brackets."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if text.startswith(separator, at) and depth <= 0 and not _goes_on(text, at + len(separator), separator):
            parts.append(text[start:at])
            at += len(separator)
            start = at
            continue
        if text[at] in _OPENING:
            depth += 1
        elif text[at] in _CLOSING:
            depth -= 1
        at += 1
    return [part.strip() for part in [*parts, text[start:]]]


def _goes_on(text: str, at: int, separator: str) -> bool:
    """Whether the separator is a command whose name continues at `at`, so that it is another command."""
    return separator.startswith("\\") and at < len(text) and text[at].isalpha()


def list_items(text: str) -> list[str]:
    """The items of a bare list: separated by commas, semicolons, "and" or "or"."""
    text = _LISTS_WORDS.sub(", ", text)
    items = [item for part in split_outside(text, ";") for item in split_outside(part, ",")]
    return [item for item in items if item]


def bracketed(text: str) -> tuple[str, list[str], str] | None:
    r"""(opening, items, closing) of `(a,b)`, `[a,b)`, `\{a,b\}`; None where no pair of brackets encloses it all."""
    opening = r"\{" if text.startswith(r"\{") else text[:1]
    closing = r"\}" if text.endswith(r"\}") else text[-1:]
    if len(text) < 2 or opening not in ("(", "[", r"\{") or closing not in (")", "]", r"\}"):
        return None
    if (opening == r"\{") != (closing == r"\}"):
        return None
    inside = text[len(opening) : len(text) - len(closing)]
    if not balanced(inside):
        return None
    return opening, [item for part in split_outside(inside, ";") for item in split_outside(part, ",")], closing


def members(text: str) -> list[str]:
    """The items of a bare list, a set, a tuple or an interval; the text itself where it is a single value."""
    items, held = list_items(text), bracketed(text)
    if len(items) <= 1 and held is not None and len(held[1]) > 1:
        return held[1]
    return items if len(items) > 1 else [text]


def balanced(text: str) -> bool:
    """Whether no bracket closes before it opens and none stays open."""
    depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def depth_of(text: str) -> int:
    """The deepest nesting of brackets."""
    depth = deepest = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        deepest = max(deepest, depth)
    return deepest


def matrix_rows(text: str) -> list[list[str]] | None:
    """The cells of a matrix, row by row; None where the text is no matrix."""
    match = _MATRIX.fullmatch(text.strip())
    if not match:
        return None
    rows = [row for row in re.split(r"\\\\", match.group(2)) if row.strip()]
    return [[cell.strip() for cell in row.split("&")] for row in rows]


def relation_chain(text: str) -> tuple[list[str], list[str]] | None:
    r"""(terms, relations) of `1 < x \le 2`, one more term than relations; None where there is no relation."""
    terms, relations, depth, start = [], [], 0, 0
    position = 0
    while position < len(text):
        match = _RELATION.match(text, position) if depth <= 0 else None
        if match:
            terms.append(text[start:position].strip())
            relations.append(_SPELLING_OF.get(match.group(), match.group()))
            position = start = match.end()
            continue
        depth += (text[position] in _OPENING) - (text[position] in _CLOSING)
        position += 1
    terms.append(text[start:].strip())
    return (terms, relations) if relations and all(terms) else None


def is_name(text: str) -> bool:
    r"""Whether a left side only names the result: `x`, `x_1`, `f(x)`, `AB`, `\angle ABC`."""
    return _NAME.fullmatch(text.strip()) is not None


class Congruence(NamedTuple):
    r"""`x \equiv 3 \pmod 7`, or `3 \bmod 7` with an empty name."""

    name: str
    value: str
    modulus: int

    def residue(self) -> int | None:
        """What is left of a whole value; None for any other value, and for the modulus 0."""
        is_whole = re.fullmatch(r"-?\d+", self.value, re.ASCII) and self.modulus
        return int(self.value) % self.modulus if is_whole else None

    def is_reduced(self) -> bool:
        """Whether the value is what is left, so that it says the same without the modulus."""
        return self.residue() is not None and str(self.residue()) == self.value

    def as_equation(self) -> str:
        """The same without the modulus."""
        return f"{self.name}={self.value}" if self.name else self.value


_MODULUS = re.compile(
    r"(.*?)\s*\(?\s*(?:\\(?:pmod|bmod|mod)|\\text\s*\{\s*mod\s*\}|(?<![a-zA-Z\\])mod)(?![a-zA-Z])"
    r"\s*\{?\s*(\d{1,9})\s*\}?\s*\)?",
    re.ASCII,
)


def congruence(text: str) -> Congruence | None:
    """The name, value and modulus of a congruence; None for anything else."""
    match = _MODULUS.fullmatch(text.strip())
    if match is None or not match.group(1):
        return None
    name, _, value = match.group(1).rpartition(r"\equiv")
    return Congruence(name.strip(), value.strip(), int(match.group(2)))


Interval = tuple[str, str, str, str]
"""(opening, low, high, closing), with brackets as they are written."""

_OR_WORD = re.compile(r" ?,? ?(?:\\text\s*\{\s*or\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z])|\\(?:lor|vee|cup)(?![a-zA-Z]))\s*")
_AND_WORD = re.compile(
    r"\s*(?:\\text\s*\{\s*and\s*\}|(?<![a-zA-Z\\])and(?![a-zA-Z])|\\(?:land|wedge|cap)(?![a-zA-Z]))\s*"
)


def intervals_of(text: str) -> tuple[str, list[Interval]] | None:
    r"""(variable, intervals) of `(2,3]`, `[0,1)\cup(2,\infty)`, `x>3`, `x<0 or x>1`, `x>1 and x<2`.

    The variable is empty where the text is written with brackets. None for anything else.
    """
    variables, intervals = set(), []
    for part in _OR_WORD.split(text):
        pieces = [_one_interval(piece) for piece in _AND_WORD.split(part)]
        if any(piece is None for piece in pieces):
            return None
        known = [piece for piece in pieces if piece is not None]
        variables |= {variable for variable, _ in known}
        joined = known[0][1] if len(known) == 1 else _overlap([interval for _, interval in known])
        if joined is None:
            return None
        intervals.append(joined)
    return (variables.pop(), intervals) if len(variables) == 1 else None


def _one_interval(text: str) -> tuple[str, Interval] | None:
    """(variable, interval) of one bracketed pair or of one chain of inequalities."""
    chain = relation_chain(text)
    if chain is not None:
        return _interval_of_chain(*chain)
    held = bracketed(text.strip())
    if held is None or held[0] == r"\{" or len(held[1]) != 2:
        return None
    return "", (held[0], held[1][0], held[1][1], held[2])


def _interval_of_chain(terms: list[str], relations: list[str]) -> tuple[str, Interval] | None:
    r"""The interval of `x>3` or `1<x\le 2` in a single variable."""
    if relations[0] in (">", r"\ge"):
        terms, relations = terms[::-1], [FLIPPED.get(relation, relation) for relation in relations[::-1]]
    if not set(relations) <= {"<", r"\le"}:
        return None
    opening, closing = ("(" if relations[0] == "<" else "["), (")" if relations[-1] == "<" else "]")
    if len(terms) == 2 and _is_variable(terms[1]):
        return terms[1], (opening, terms[0], r"\infty", ")")
    if len(terms) == 2 and _is_variable(terms[0]):
        return terms[0], ("(", r"-\infty", terms[1], closing)
    if len(terms) == 3 and _is_variable(terms[1]):
        return terms[1], (opening, terms[0], terms[2], closing)
    return None


def _overlap(intervals: list[Interval]) -> Interval | None:
    """The overlap of a ray to the right and a ray to the left; None for anything else."""
    right = [interval for interval in intervals if interval[2] == r"\infty"]
    left = [interval for interval in intervals if interval[1] == r"-\infty"]
    if len(right) != 1 or len(left) != 1 or len(intervals) != 2:
        return None
    return right[0][0], right[0][1], left[0][2], left[0][3]


def _is_variable(text: str) -> bool:
    """Whether the text is one variable."""
    return _VARIABLE.fullmatch(text.strip()) is not None
