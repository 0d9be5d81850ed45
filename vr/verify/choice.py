r"""Multiple choice: which letter, A to J, an answer chooses. Also the kind ``none``, which judges nothing."""

from __future__ import annotations

import re

from vr.verify.extract import final_answer
from vr.verify.normalise import TEXT, normalise
from vr.verify.registry import Workplace
from vr.verify.types import Finding, Task

LETTER_ALONE = re.compile(r"\W*([A-J])\W*", re.DOTALL)
LETTER_MARKED = re.compile(r"\s*(?:\(\s*([A-J])\s*\)|([A-J])\s*[.:)])(.*)", re.DOTALL)
LETTER_NAMED = re.compile(r"\s*(?:option|choice|answer)\s*\(?([A-J])\)?(?![a-zA-Z])(.*)", re.DOTALL | re.IGNORECASE)


def read_choice(answer: str) -> tuple[str, str] | None:
    r"""(letter, text after it) of an answer such as ``B``, ``(B)``, ``\textbf{(B)}\ 12`` or ``B. 12``.

    None where it chooses no letter: "A man" and "A or B" do not choose A.
    """
    text = re.sub(r"\\ ", " ", TEXT.sub(r"\1", answer)).strip()
    if alone := LETTER_ALONE.fullmatch(text):
        return alone.group(1), ""
    if marked := LETTER_MARKED.match(text):
        letter, rest = marked.group(1) or marked.group(2), marked.group(3).strip()
        return None if LETTER_MARKED.match(rest) or another_choice(rest) else (letter, rest)
    if named := LETTER_NAMED.match(text):
        return None if another_choice(named.group(2)) else (named.group(1).upper(), named.group(2).strip())
    return None


def another_choice(rest: str) -> bool:
    """Whether what follows a letter goes on to a second one, as in "(A) or (B)"."""
    return re.match(r"\s*(?:,|/|&|and\b|or\b)\s*\(?[A-J]\)?(?![a-zA-Z])", rest) is not None


def judge_choice(task: Task, _workplace: Workplace) -> Finding:
    """Compare the chosen letters. A reference that is no letter is ``unparsable_reference``."""
    reference = task.reference or ""
    gold = read_choice(normalise(final_answer(reference) or reference))
    if gold is None:
        return Finding("unparsable_reference", "reference names no letter from A to J")
    answer = final_answer(task.answer or "")
    if answer is None and len((task.answer or "").strip()) <= 200:
        answer = last_letter_line(task.answer or "")
    if answer is None:
        return Finding("no_answer", "no box and no 'answer is'")
    chosen = read_choice(normalise(answer))
    if chosen is None:
        return Finding("wrong", "no single letter chosen")
    return Finding("correct" if chosen[0] == gold[0] else "wrong", f"chose {chosen[0]}")


def last_letter_line(text: str) -> str | None:
    """A short reply that is nothing but a letter."""
    return text.strip() if LETTER_ALONE.fullmatch(text) or LETTER_MARKED.match(text) else None


def judge_nothing(_task: Task, _workplace: Workplace) -> Finding:
    """The kind ``none``: there is nothing to check against."""
    return Finding("not_run", isolation="none")
