r"""Multiple choice: which letter, A to J, an answer chooses. Also the kind none, which judges nothing."""

import re

from vr.verify.extract import final_answer
from vr.verify.math.normalise import TEXT, normalise
from vr.verify.registry import WorkerContext
from vr.verify.types import Finding, Task

_LETTER_ALONE = re.compile(r"\W*([A-J])\W*", re.DOTALL)
_LETTER_MARKED = re.compile(r"\s*(?:\(\s*([A-J])\s*\)|([A-J])\s*[.:)])(.*)", re.DOTALL)
_WRAPPED = re.compile(r"\\text\s*\{(.*)\}", re.DOTALL)
r"""A `\text{}` that holds other braces, and so is not unwrapped by `TEXT`."""
_LETTER_EXPLAINED = re.compile(r"([A-J])\s+\(((?:[^()]|\([^()]*\))*)\)\W*")
_LETTERS_MARKED = re.compile(r"(?:\s*(?:\([A-J]\)|[A-J][.:)]))+\s*")
_LETTER_NAMED = re.compile(
    r"\s*(?i:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)(?:\s+is)?)[\s:]*"
    r"(?:\(\s*([A-Ja-j])\s*\)|([A-Ja-j])(?=\W*$|\s*[^\w\s]|\s+(?:is|because|since|as|which|or|and)\b))(.*)",
    re.DOTALL,
)
r"""A bare letter has to end or to be followed by a sign or by one of these words: "answer: A man" names no letter."""
_LONE = 3
"""Characters of a letter that stands alone, such as (b)."""
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
    chosen = read_chosen(normalise(answer))
    if chosen is None:
        return Finding("wrong", "no single letter chosen")
    return Finding("correct" if chosen[0] == gold[0] else "wrong", f"chose {chosen[0]}")


def judge_nothing(_task: Task, _context: WorkerContext) -> Finding:
    """The kind none: there is nothing to check the answer against."""
    return Finding("not_run", isolation="none")


def read_chosen(answer: str) -> tuple[str, str] | None:
    """As `read_choice`, for an answer to a multiple choice: a small letter that stands alone is no variable there."""
    bare = TEXT.sub(r"\1", answer).strip()
    return read_choice(answer) or (read_choice(bare.upper()) if len(bare) <= _LONE else None)


def read_choice(answer: str) -> tuple[str, str] | None:
    r"""The letter, and the text after it, of an answer such as `B`, `(B)`, `\textbf{(B)}\ 12` or `B. 12`.

    None where the answer chooses no letter: "A man" and "A or B" do not choose A.
    """
    text = re.sub(r"\\ ", " ", TEXT.sub(r"\1", answer)).strip()
    if wrapped := _WRAPPED.fullmatch(text):
        text = wrapped.group(1)
    if alone := _LETTER_ALONE.fullmatch(text):
        return alone.group(1), ""
    if marked := _LETTER_MARKED.match(text):
        letter, rest = marked.group(1) or marked.group(2), marked.group(3).strip()
        return None if _names_another(rest) else (letter, rest)
    if explained := _LETTER_EXPLAINED.fullmatch(text):
        letter, rest = explained.group(1), explained.group(2).strip()
        return None if _names_another(rest) else (letter, rest)
    if named := _LETTER_NAMED.match(text):
        letter, rest = named.group(1) or named.group(2), named.group(3).strip()
        return None if _names_another(rest) else (letter.upper(), rest)
    return None


def _names_another(rest: str) -> bool:
    """Whether the text after a letter is a second one or goes on to it: "(A) (B)", "(A) or (B)", not "(A) E. coli"."""
    goes_on = re.match(r"\s*(?:,|/|&|and\b|or\b)\s*\(?[A-J]\)?(?![a-zA-Z])", rest)
    return goes_on is not None or _LETTERS_MARKED.fullmatch(rest) is not None


def _bare_letter(text: str) -> str | None:
    """A reply that is only a letter, perhaps with its name or the text of the choice; None for any other."""
    patterns = _LETTER_ALONE.fullmatch, _LETTER_MARKED.match, _LETTER_NAMED.match
    return text.strip() if any(matches(text) for matches in patterns) else None
