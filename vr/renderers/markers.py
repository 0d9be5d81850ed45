"""Prompts, markers, and the one place that splits a response.

A response of pi: <|begin_of_thought|> z <|end_of_thought|> blank line <|begin_of_solution|> y <|end_of_solution|>.
In Qwen tokenizers the markers are ordinary text of several tokens; in the miniature they may be single tokens.
The posterior's turn is prefilled with the hint between solution markers and then its own begin marker
(method of arXiv 2509.22637, App. B: template B reuses the thought markers, A has explanation markers).
Conversations are ChatML, which both Qwen2.5 and Qwen3 read.
The wording of the system prompts stands in the text files of this folder; params.yaml may name other files.
"""

import re

BEGIN_THOUGHT, END_THOUGHT = "<|begin_of_thought|>", "<|end_of_thought|>"
BEGIN_SOLUTION, END_SOLUTION = "<|begin_of_solution|>", "<|end_of_solution|>"
BEGIN_EXPLANATION, END_EXPLANATION = "<|begin_of_explanation|>", "<|end_of_explanation|>"
MARKERS = (BEGIN_THOUGHT, END_THOUGHT, BEGIN_SOLUTION, END_SOLUTION, BEGIN_EXPLANATION, END_EXPLANATION)
TURN_BEGIN, TURN_END, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
ANSWER_LEAD = f"\n\n{BEGIN_SOLUTION}"
"""What stands between a trace and its answer: format, neither z nor y."""

_RESPONSE = re.compile(
    re.escape(BEGIN_THOUGHT) + "(.*)" + re.escape(END_THOUGHT)
    + r"\s*" + re.escape(BEGIN_SOLUTION) + "(.*?)" + re.escape(END_SOLUTION),
    re.DOTALL,
)  # fmt: skip


def split_response(response: str) -> tuple[str, str]:
    """(z, y) of a whole response, verbatim and without their markers.

    Raises:
        ValueError: a marker is missing or out of order.
    """
    match = _RESPONSE.search(response)
    if match is None:
        raise ValueError(f"solution without its four markers in order: {response[:80]!r}")
    return match.group(1), match.group(2)


def join_response(thought: str, solution: str) -> str:
    """The inverse of `split_response`."""
    return f"{BEGIN_THOUGHT}{thought}{END_THOUGHT}{ANSWER_LEAD}{solution}{END_SOLUTION}"


def judged_part(generated: str, *, complete: bool) -> str | None:
    """What a verifier sees of a generated response: the solution part, or None where there is none.

    A model that was never taught the markers is judged by all that it wrote, if it came to an end (`complete`).
    """
    _, marker, solution = generated.rpartition(BEGIN_SOLUTION)
    if marker:
        return solution.split(END_SOLUTION)[0].removesuffix(TURN_END)
    return generated.removesuffix(TURN_END) if complete else None


def conversation(system: str, question: str) -> str:
    """A ChatML conversation up to where the assistant begins."""
    return f"{TURN_BEGIN}system\n{system}{TURN_END}\n{TURN_BEGIN}user\n{question}{TURN_END}\n{TURN_BEGIN}assistant\n"


def trace_markers(template: str) -> tuple[str, str]:
    """The posterior's markers round z."""
    return (BEGIN_EXPLANATION, END_EXPLANATION) if template == "A" else (BEGIN_THOUGHT, END_THOUGHT)


def hint_text(hint: str, solution: str, reference: str | None) -> str:
    """y': the data set's whole solution text, or the reference answer alone (where there is one)."""
    return reference if hint == "answer" and reference is not None else solution


def posterior_lead(hint: str, template: str) -> str:
    """What q's turn is prefilled with: the hint, then the marker after which q writes z."""
    return f"{BEGIN_SOLUTION}{hint}{END_SOLUTION}\n\n{trace_markers(template)[0]}"
