"""Text to token ids, and ids to the rows that are sampled from, scored and trained on.

A row is assembled from pieces that are encoded one by one, in the order prompt, begin marker, z, end marker,
lead, y, end marker, end of turn. So the prefix that a sampler was given, the ids that it wrote and the row that
is scored or trained on are the same ids: nothing is ever decoded and encoded again.
T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vr.renderers import markers


@dataclass(frozen=True)
class Example:
    """One sequence and what its parts are."""

    ids: list[int]
    """T ids"""
    trained_from: int
    """the loss covers ids[trained_from:]"""
    trace: tuple[int, int]
    """ids[a:b] is z with its end marker"""
    answer: tuple[int, int] | None = None
    """ids[a:b] is y with its end marker; None in the posterior's rows"""


def require_model(model: str | Path) -> None:
    """Say at once, before engines are imported, that there is no model.

    Raises:
        FileNotFoundError: `model` is no model directory.
    """
    if not (Path(model) / "config.json").is_file():
        raise FileNotFoundError(f"{model}: no such model (a directory with config.json, weights and a tokenizer)")


def load(model: str | Path) -> Any:
    """The tokenizer of a model directory (never running code that comes with it).

    Raises:
        FileNotFoundError: `model` is no model directory.
    """
    require_model(model)
    from transformers import AutoTokenizer  # seconds to import: only where a tokenizer is needed

    return AutoTokenizer.from_pretrained(model, trust_remote_code=False)


class Renderer:
    """Encodes pieces with one tokenizer; fixed pieces (markers, system prompts) once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.fixed = cache(self.encode)

    def encode(self, text: str) -> list[int]:
        """Ids of a piece of text, without anything added."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, markers and special tokens included, spaces untouched."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def reasoner_prompt(self, question: str, system: str) -> list[int]:
        """What pi is given before it thinks: the conversation and the begin marker."""
        return self.encode(markers.conversation(system, question)) + self.fixed(markers.BEGIN_THOUGHT)

    def posterior_prompt(self, question: str, system: str, hint: str, template: str) -> list[int]:
        """What q is given before it thinks: the conversation, the hint and the begin marker."""
        begin, _ = markers.trace_markers(template)
        lead = markers.posterior_lead(hint, template).removesuffix(begin)
        return self.encode(markers.conversation(system, question)) + self.encode(lead) + self.fixed(begin)

    def answer_prompt(self, question: str, system: str, trace_ids: Sequence[int]) -> list[int]:
        """What pi is given before it answers: the conversation, z and the solution's begin marker."""
        return self.reasoner_prompt(question, system) + list(trace_ids) + self.fixed(markers.ANSWER_LEAD)

    def ended(self, text: str, marker: str) -> list[int]:
        """Ids of a data set's own z or y with its end marker."""
        return self.encode(text) + self.fixed(marker)

    def reasoner_trace(self, trace_ids: Sequence[int], thought_tokens: int, template: str) -> list[int]:
        """A sampled z as pi writes it: template A's end marker gives way to pi's own, the thought's ids stay."""
        if template == "A":
            return list(trace_ids[:thought_tokens]) + self.fixed(markers.END_THOUGHT)
        return list(trace_ids)

    def reasoner_row(self, question: str, system: str, trace_ids: Sequence[int], answer_ids: Sequence[int]) -> Example:
        """pi's whole row: the loss covers the response from its first marker to the end of the turn."""
        prompt = self.reasoner_prompt(question, system)
        lead = self.fixed(markers.ANSWER_LEAD)
        trace_end = len(prompt) + len(trace_ids)
        answer_begin = trace_end + len(lead)
        ids = [*prompt, *trace_ids, *lead, *answer_ids, *self.fixed(markers.TURN_END)]
        return Example(
            ids=ids,
            trained_from=len(prompt) - len(self.fixed(markers.BEGIN_THOUGHT)),
            trace=(len(prompt), trace_end),
            answer=(answer_begin, answer_begin + len(answer_ids)),
        )

    def posterior_row(self, question: str, system: str, hint: str, template: str, trace_ids: Sequence[int]) -> Example:
        """q's whole row: the hint and the begin marker are given, so the loss begins with z."""
        prompt = self.posterior_prompt(question, system, hint, template)
        ids = [*prompt, *trace_ids, *self.fixed(markers.TURN_END)]
        return Example(ids=ids, trained_from=len(prompt), trace=(len(prompt), len(prompt) + len(trace_ids)))
