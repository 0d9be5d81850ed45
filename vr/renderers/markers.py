"""The text format of conversations and responses: markers, how a response is written and split, what is judged.

A response of pi in the public data, where z is the thinking trace and y the solution:

    <|begin_of_thought|>\\n\\n{z}\\n\\n<|end_of_thought|>\\n\\n<|begin_of_solution|>\\n\\n{y}\\n\\n<|end_of_solution|>

The posterior's turn begins with the hint between solution markers and then its own begin marker (arXiv 2509.22637,
App. B: template B reuses the thought markers, template A has explanation markers). Conversations are ChatML, which
Qwen2.5 and Qwen3 read. White space beside a marker belongs to the format, not to z or y.

Not covered: token ids (renderer.py).
"""

import re
from typing import Literal

BEGIN_THOUGHT, END_THOUGHT = "<|begin_of_thought|>", "<|end_of_thought|>"
BEGIN_SOLUTION, END_SOLUTION = "<|begin_of_solution|>", "<|end_of_solution|>"
BEGIN_EXPLANATION, END_EXPLANATION = "<|begin_of_explanation|>", "<|end_of_explanation|>"
MARKERS = (BEGIN_THOUGHT, END_THOUGHT, BEGIN_SOLUTION, END_SOLUTION, BEGIN_EXPLANATION, END_EXPLANATION)
TURN_BEGIN, TURN_END, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
BLANK = "\n\n"
"""What stands between a marker and the text beside it."""
ANSWER_LEAD = f"{BLANK}{BEGIN_SOLUTION}{BLANK}"
"""What stands between a trace and its answer: format, neither z nor y."""

Judged = Literal["solution", "box", "response", "nothing"]
"""Which part of a response is judged (`judged_part`)."""

_RESPONSE = re.compile(
    re.escape(BEGIN_THOUGHT) + "(.*)" + re.escape(END_THOUGHT)
    + r"\s*" + re.escape(BEGIN_SOLUTION) + "(.*?)" + re.escape(END_SOLUTION),
    re.DOTALL,
)  # fmt: skip
_BOXES_AND_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)  # `\\.` takes escaped braces out of the count


def split_response(response: str) -> tuple[str, str]:
    """(z, y) of a whole response, without their markers and the white space at their ends.

    Raises:
        ValueError: a marker is missing or out of order, or nothing stands between a pair of markers.
    """
    match = _RESPONSE.search(response)
    if match is None:
        raise ValueError(f"solution without its four markers in order: {response[:80]!r}")
    thought, solution = match.group(1).strip(), match.group(2).strip()
    if not thought or not solution:
        raise ValueError(f"solution with nothing between its {'solution' if thought else 'thought'} markers")
    return thought, solution


def join_response(thought: str, solution: str) -> str:
    """A response in the one format; the inverse of `split_response`."""
    return f"{open_part(BEGIN_THOUGHT)}{ended(thought.strip(), END_THOUGHT)}{answered(solution.strip())}"


def open_part(begin_marker: str) -> str:
    """The text that a part begins with."""
    return f"{begin_marker}{BLANK}"


def ended(text: str, end_marker: str) -> str:
    """A part's text with its end marker."""
    return f"{text}{BLANK}{end_marker}"


def answered(solution: str) -> str:
    """The text that follows a trace: y between the solution markers."""
    return f"{ANSWER_LEAD}{ended(solution, END_SOLUTION)}"


def left_to_say(text: str, overhang: str) -> str:
    """What of the format's `text` after an end marker follows a token that holds `overhang` beyond that marker.

    An overhang that begins the text, white space apart, is not repeated. Any other overhang is no part of the format:
    the whole text follows it.
    """
    if text.startswith(overhang):
        return text[len(overhang) :]
    said, to_say = overhang.lstrip(), text.lstrip()
    return to_say[len(said) :] if to_say.startswith(said) else text


def conversation(system: str, question: str) -> str:
    """A ChatML conversation up to where the assistant begins; an empty system prompt gives no system turn."""
    system_turn = f"{TURN_BEGIN}system\n{system}{TURN_END}\n" if system else ""
    return f"{system_turn}{TURN_BEGIN}user\n{question}{TURN_END}\n{TURN_BEGIN}assistant\n"


def trace_markers(template: str) -> tuple[str, str]:
    """The posterior's markers round z."""
    return (BEGIN_EXPLANATION, END_EXPLANATION) if template == "A" else (BEGIN_THOUGHT, END_THOUGHT)


def hint_text(hint: str, solution: str, reference: str | None) -> str:
    """y': the data set's whole solution text, or with hint `answer` the reference alone (where there is one)."""
    return reference if hint == "answer" and reference else solution


def posterior_lead(hint: str, template: str) -> str:
    """The text that q's turn begins with: the hint y', then the marker after which q writes z."""
    begin, _ = trace_markers(template)
    return f"{open_part(BEGIN_SOLUTION)}{ended(hint.strip(), END_SOLUTION)}{BLANK}{open_part(begin)}"


def judged_part(text: str, *, complete: bool, boxed_without_solution: bool) -> tuple[str | None, Judged]:
    """What a verifier sees of a generated response, and which part of it that is.

    `solution`: the first complete solution part, from the last begin marker before the first end marker that follows
        a begin marker. In a response that came to an end, a solution part without end marker is complete too, because
        generation stops at that marker.
    `response`: the whole text of a response that came to an end without a begin marker of a solution; models that were
        never taught the markers are judged by it.
    `box`: the last `\\boxed{...}` with balanced braces in the whole text.
    `nothing`: there is nothing to judge (the part is None).

    Args:
        text: the response as generated, special tokens shown; the marker or token that ended it may be missing.
        complete: the response ended by its end marker or the end of the turn, not by its length.
        boxed_without_solution: whether `box` is allowed, which makes sense in mathematics alone.
    """
    before, begin, rest = text.partition(BEGIN_SOLUTION)
    solution, end, _ = rest.partition(END_SOLUTION)
    if end or (begin and complete):
        return _without_turn_end(solution.rpartition(BEGIN_SOLUTION)[2]), "solution"
    if complete:
        return _without_turn_end(before.partition(END_SOLUTION)[0]), "response"
    box = last_box(text) if boxed_without_solution else None
    return (None, "nothing") if box is None else (box, "box")


def _without_turn_end(text: str) -> str:
    return text.strip().removesuffix(TURN_END).strip()


def last_box(text: str) -> str | None:
    """The last `\\boxed{...}` with balanced braces, outermost where boxes are nested; None without one."""
    open_at: list[int | None] = []  # for each open brace: where its `\boxed` begins, None for other braces
    box = None
    for match in _BOXES_AND_BRACES.finditer(text):
        if match.group().startswith("\\boxed"):
            open_at.append(match.start())
        elif match.group() == "{":
            open_at.append(None)
        elif match.group() == "}" and open_at:
            start = open_at.pop()
            box = box if start is None else (start, match.end())
    return None if box is None else text[slice(*box)]
