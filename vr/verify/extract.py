"""Finding the answer or the program in a solution.

The answer is the last balanced box, or else what follows an "answer is". It is never the last number of the text: a
solution that names no answer has none. The program is the last fenced block.
The functions take time linear in the length of the text. Nothing is evaluated.
"""

import re
from collections.abc import Iterator

_END_OF_THOUGHT = "</think>"
_TAIL_CHARACTERS = 20_000
"""Only this much of the end of a solution is searched, so that a very long one costs no time."""

BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*")
_BARE_BOXED = re.compile(r"\\?[^\s\\{}$,.;]+")
_BETWEEN_BOXES = re.compile(r"[\s$.;{}]+|\\(?:text|quad|qquad)(?![a-zA-Z])")
"""What may stand between two boxes besides the words that join them."""
_JOINS_BOXES = re.compile(r"(?:,+(?:or|and)?|or|and)(?:[a-zA-Z](?:_\w)?=)?")
ANCHOR = re.compile(r"(?:answer\W{0,4}(?:\bis\b|:|=)|####|答案(?:是|为|：|:))\W{0,4}?\s*", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[.!?]\s|[.!?]$|[,;]\s|。|，|\s(?:because|since|which|as|for|so)\s", re.IGNORECASE)
_MATHS_SPAN = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_FENCE = re.compile(r"([ \t]*)(`{3,})(.*)")
_LANGUAGE = re.compile(r"[a-zA-Z][\w+#.\-]*")
_NESTED_COLUMNS = 4
"""A fence that is indented this much deeper than the one that opened the block belongs to the program."""
_STATEMENT = re.compile(r"(?:import \w|from \w+ import|def \w+\(|class \w+|print\(|\w+\s*=\s*\S|for .+:$|while .+:$)")


def final_answer(solution: str) -> str | None:
    """The answer that a solution names; None where it names none.

    Boxes joined by "or", "and" or a comma ("x = boxed 2 or x = boxed 3") are one answer of several parts.
    """
    text = solution.rsplit(_END_OF_THOUGHT, 1)[-1][-_TAIL_CHARACTERS:]
    boxes = find_boxes(text)
    if boxes:
        first = len(boxes) - 1
        while first and _are_joined(text[boxes[first - 1][1] : boxes[first][0]]):
            first -= 1
        answer = ", ".join(content for _, _, content in boxes[first:]).strip()
        return answer or None
    return None if BOX.search(text) else _after_anchor(text)


def _are_joined(between: str) -> bool:
    """Whether the text between two boxes makes them parts of one answer. Linear: every pattern matches in one way."""
    return _JOINS_BOXES.fullmatch(_BETWEEN_BOXES.sub("", between)) is not None


def find_boxes(text: str) -> list[tuple[int, int, str]]:
    """The outermost balanced boxes, as (start, end, content). A box that is never closed does not count."""
    boxes: list[tuple[int, int, str]] = []
    closing = _matching_braces(text)
    position = 0
    for match in BOX.finditer(text):
        if match.start() < position:
            continue
        at = match.end()
        if text.startswith("{", at):
            if at not in closing:
                continue
            position = closing[at] + 1
            boxes.append((match.start(), position, text[at + 1 : position - 1]))
        elif bare := _BARE_BOXED.match(text, at):
            position = bare.end()
            boxes.append((match.start(), position, bare.group()))
    return boxes


def _matching_braces(text: str) -> dict[int, int]:
    """The position of the closing brace by that of its opening brace; escaped braces do not count."""
    pairs: dict[int, int] = {}
    open_at: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match.group() == "{":
            open_at.append(match.start())
        elif match.group() == "}" and open_at:
            pairs[open_at.pop()] = match.start()
    return pairs


def _after_anchor(text: str) -> str | None:
    """What follows the last "answer is", "answer:" or "####", up to the end of the clause."""
    anchors = list(ANCHOR.finditer(text))
    if not anchors:
        return None
    line = text[anchors[-1].end() :].lstrip().split("\n")[0].strip("* \t")
    if maths := _MATHS_SPAN.match(line):
        return next(group for group in maths.groups() if group).strip() or None
    answer = _CLAUSE_END.split(line)[0].strip("*_ \t:")
    return answer or None


def last_program(solution: str) -> str | None:
    """The last fenced block of a solution; without a fence the whole text, if it looks like a program; else None."""
    text = solution.rsplit(_END_OF_THOUGHT, 1)[-1]
    program = None
    for block in _fenced_blocks(text):
        if block.strip():
            program = block
    if program is not None:
        return program
    return text if any(_STATEMENT.match(line.strip()) for line in text.split("\n")) else None


def _fenced_blocks(text: str) -> Iterator[str]:
    """The content of each fenced block; the last one may lack its closing fence.

    A fence that names a language opens a block even where the block before it was not closed.
    """
    opening: tuple[int, int] | None = None
    content: list[str] = []
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if opening is not None and not (fence and _closes(fence, opening)):
            content.append(line)
            continue
        if opening is not None:
            yield "\n".join(content) + "\n"
        was_open, opening, content = opening is not None, None, []
        if fence and _opens(fence, was_open):
            opening = _columns(fence), len(fence[2])
    if opening is not None:
        yield "\n".join(content)


def _opens(fence: re.Match[str], was_open: bool) -> bool:
    """Whether a fence opens a block. A bare one closes the block before it, and so does one that prose follows."""
    info = fence[3].strip()
    return _LANGUAGE.fullmatch(info) is not None if was_open else "`" not in info


def _closes(fence: re.Match[str], opening: tuple[int, int]) -> bool:
    """Whether a fence ends a block. opening: the columns of indentation and the backticks of the block's own fence."""
    columns, n_backticks = opening
    return len(fence[2]) >= n_backticks and _columns(fence) < columns + _NESTED_COLUMNS


def _columns(fence: re.Match[str]) -> int:
    return len(fence[1].expandtabs(4))
