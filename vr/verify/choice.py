r"""Multiple choice: which letter, A to J, an answer chooses. Also the kind none, which judges nothing."""

import re

from vr.verify.extract import final_answer
from vr.verify.math.normalise import TEXT, normalise
from vr.verify.registry import WorkerContext
from vr.verify.types import Finding, Task

_LETTER_ALONE = re.compile(r"\W*([A-J])\W*", re.DOTALL)
_LETTER_MARKED = re.compile(r"\s*(?:\(\s*([A-J])\s*\)|([A-J])\s*[.:)])(.*)", re.DOTALL)
_LETTER_NAMED = re.compile(r"\s*(?:option|choice|answer)\s*\(?([A-J])\)?(?![a-zA-Z])(.*)", re.DOTALL | re.IGNORECASE)
_MAX_BARE_REPLY = 200
"""A text without a box and without "answer is" is read as a reply of one letter only up to this many characters."""


def judge_choice(task: Task, _context: WorkerContext) -> Finding:
    """Compare the chosen letters. A reference that is no letter is unparsable_reference."""
    reference = task.reference or ""
    gold = read_choice(normalise(final_answer(reference) or reference))
    if gold is None:
        return Finding("unparsable_reference", "reference names no letter from A to J")
    answer = final_answer(task.answer or "")
    if answer is None and len((task.answer or "").strip()) <= _MAX_BARE_REPLY:
        answer = _bare_letter(task.answer or "")
    if answer is None:
        return Finding("no_answer", "no box and no 'answer is'")
    chosen = read_choice(normalise(answer))
    if chosen is None:
        return Finding("wrong", "no single letter chosen")
    return Finding("correct" if chosen[0] == gold[0] else "wrong", f"chose {chosen[0]}")


def judge_nothing(_task: Task, _context: WorkerContext) -> Finding:
    """The kind none: there is nothing to check the answer against."""
    return Finding("not_run", isolation="none")


def read_choice(answer: str) -> tuple[str, str] | None:
    r"""The letter, and the text after it, of an answer such as `B`, `(B)`, `\textbf{(B)}\ 12` or `B. 12`.

    None where the answer chooses no letter: "A man" and "A or B" do not choose A.
    """
    text = re.sub(r"\\ ", " ", TEXT.sub(r"\1", answer)).strip()
    if alone := _LETTER_ALONE.fullmatch(text):
        return alone.group(1), ""
    if marked := _LETTER_MARKED.match(text):
        letter, rest = marked.group(1) or marked.group(2), marked.group(3).strip()
        return None if _LETTER_MARKED.match(rest) or _names_another(rest) else (letter, rest)
    if named := _LETTER_NAMED.match(text):
        return None if _names_another(named.group(2)) else (named.group(1).upper(), named.group(2).strip())
    return None


def _names_another(rest: str) -> bool:
    """Whether the text after a letter goes on to a second one, as in "(A) or (B)"."""
    return re.match(r"\s*(?:,|/|&|and\b|or\b)\s*\(?[A-J]\)?(?![a-zA-Z])", rest) is not None


def _bare_letter(text: str) -> str | None:
    """A reply that is only a letter, perhaps with the text of the choice; None for any other."""
    return text.strip() if _LETTER_ALONE.fullmatch(text) or _LETTER_MARKED.match(text) else None
