r"""Answers that are words: "even", "five", "no solution", "all real numbers", and the symbols that say the same."""

import re

from vr.verify.math.normalise import words
from vr.verify.math.scalars import squeezed

_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_WORDS = re.compile(r"[^\W\d_][^\W\d_ ,'/-]*(?:[ ,'/-]+[^\W\d_]+)*")

REAL_LINE = {r"\mathbb{R}", r"(-\infty,\infty)", "allrealnumbers", "allreals", r"(-\infty,+\infty)"}
"""Spellings of the set of all real numbers, without spaces."""
EMPTY_SET = {r"\emptyset", r"\{\}", "nosolution", "nosolutions", "norealsolutions", "none"}
"""Spellings of the empty set, without spaces."""


def equal_words(gold: str, answer: str) -> bool | None:
    """Compare two normalised answers as words where the reference consists of words; None where it does not."""
    left, right = words(gold), words(answer)
    for names in (REAL_LINE, EMPTY_SET):
        if any(squeezed(form) in names for form in (gold, left)):
            if any(squeezed(form) in names for form in (answer, right)):
                return True
            if squeezed(left) in names and "\\" not in gold:
                return None
    if right in _NUMBER_WORDS and re.fullmatch(r"\d{1,2}", gold):
        return _NUMBER_WORDS.index(right) == int(gold)
    if left in _NUMBER_WORDS and re.fullmatch(r"\d{1,2}", answer):
        return _NUMBER_WORDS.index(left) == int(answer)
    if _WORDS.fullmatch(left) and _are_meant_as_words(gold, left):
        return left == right or _without_article(left) == _without_article(right)
    return None


def _are_meant_as_words(gold: str, spoken: str) -> bool:
    r"""Whether a reference that reads as words is no formula: all of it in `\text{}`, or it holds a long word.

    `ab/cd`, `a - b` and `x, y` are formulas and a list: what stands between signs there is as short as variables are.
    """
    marked = r"\text" in gold and not re.sub(r"\\text\s*\{[^{}]*\}", "", gold).strip(" ,.()\\")
    longest = max(map(len, re.findall(r"[^\W\d_]+", spoken)))
    is_phrase = longest > 3 or (longest == 3 and " " in spoken and not re.search(r"[,/-]", spoken))
    return marked or (is_phrase and "\\" not in gold and "^" not in gold)


def _without_article(text: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", text)
