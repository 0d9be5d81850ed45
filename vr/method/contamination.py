"""How many held-out questions stand among the training questions, as a whole or in part.

Two measures. Equal: the same characters, but for case, white space and the form of Unicode (NFKC). Overlapping: some 13
words in a row are the same (the measure of arXiv 2005.14165, App. C); signs between words do not count, and a question
of fewer words overlaps with none. The options of a choice are a part of its question.

Instructions that stand before or after questions are no part of them. Nothing but counts is kept, since some benchmarks
ask that their questions are not shown.
Not covered: the same question in other words, numbers or order.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

N_WORDS = 13
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Overlap:
    """Questions of one benchmark."""

    questions: int
    equal: int
    """equal to a training question"""
    overlapping: int
    """with N_WORDS words in a row that a training question has too"""


Overlaps = Mapping[str, Overlap]
"""The name of each benchmark, and its counts."""


def overlaps(training: Iterable[str], benchmarks: Mapping[str, Sequence[str]], instructions: Sequence[str]) -> Overlaps:
    """Count for each benchmark. Memory grows with the benchmarks, not with the training questions.

    Args:
        training: questions.
        benchmarks: name and questions of each.
        instructions: texts that are cut off before or after a question, in training and benchmarks alike.
    """
    asked = {name: [_bare(question, instructions) for question in of] for name, of in benchmarks.items()}
    every = [question for of in asked.values() for question in of]
    wholes, parts = {_whole(question) for question in every}, {part for question in every for part in _parts(question)}
    seen: set[int] = set()
    for question in training:
        bare = _bare(question, instructions)
        seen |= wholes & {_whole(bare)} | parts.intersection(_parts(bare))
    return {name: _counted(of, seen) for name, of in asked.items()}


def in_words(found: Overlaps) -> str:
    """The counts for a log line."""
    return "; ".join(
        f"{name}: {overlap.equal} of {overlap.questions} as a whole, {overlap.overlapping} by {N_WORDS} words in a row"
        for name, overlap in found.items()
    )


def _counted(questions: Sequence[str], seen: set[int]) -> Overlap:
    equal = sum(_whole(question) in seen for question in questions)
    overlapping = sum(any(part in seen for part in _parts(question)) for question in questions)
    return Overlap(len(questions), equal, overlapping)


def _bare(question: str, instructions: Sequence[str]) -> str:
    """The question without instructions, in lower case."""
    text = question.strip()
    for instruction in map(str.strip, instructions):
        text = text.removeprefix(instruction).removesuffix(instruction).strip()
    return unicodedata.normalize("NFKC", text).lower()


# Texts are compared by hashes of 64 bits: between a million and ten million of them, a chance agreement is less likely
# than one in a million.


def _whole(text: str) -> int:
    return hash("".join(text.split()))


def _parts(text: str) -> Iterator[int]:
    words = _WORD.findall(text)
    return (hash(tuple(words[i : i + N_WORDS])) for i in range(len(words) - N_WORDS + 1))
