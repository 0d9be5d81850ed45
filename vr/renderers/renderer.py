"""Prompts and examples: from problems and sampled ids to the sequences that are sampled from, scored and trained on.

An example of data-set text is the tokenizer's own encoding of the whole text; its parts are found by character
offsets. A prompt is a prefix of the examples that continue it. An example of sampled ids is the same prompt, the ids
as they were sampled, and what follows them. Sampled ids are not decoded and encoded again, except for template A's
end marker, which gives way to pi's own.

Where a token ends beside a marker depends on the tokenizer:

- Qwen writes `>\\n\\n` as one token, so the last id of a trace in data-set text overhangs its end marker. What
  follows a trace does not repeat an overhang.
- GPT-2's way of splitting writes `\\n\\n` as one token at the end of a text or before a digit, but as two tokens
  before other text. A prompt cannot know what the model will write, so every prompt, and every example that
  continues one, has the tokens that stand before a letter. This is the one exception to the first rule above.

Not covered: which rows are trained on, and their weights (training_rows.py, vr/method).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from vr.renderers import markers
from vr.renderers.example import Example
from vr.renderers.tokenizer import Encoded, decode, encode, encode_all, load_tokenizer

logger = logging.getLogger(__name__)

Problem = Mapping[str, Any]
"""A row of tables.Problems: question, system, solution, reference, and problem_id for messages."""

PROBLEM_COLUMNS = ("problem_id", "question", "system", "solution", "reference")

_LETTER = "a"  # stands for what will follow a prompt
_LONGEST_CHARACTER = 4  # bytes, so also tokens
_BROKEN = "\N{REPLACEMENT CHARACTER}"  # what an incomplete character is decoded to


@dataclass(frozen=True)
class Wording:
    """The system prompts, and what the posterior is shown."""

    reasoner: str
    """pi's system prompt; a problem's own comes first"""
    posterior: str
    """q's system prompt"""
    untrained: str
    """system prompt of models that were not trained here; empty: none"""
    hint: str
    """y' in q's prompt: solution | answer"""
    template: str
    """q's markers: A (explanation) | B (thought)"""
    proposal: str
    """the model that traces are drawn from: posterior | initial"""


@dataclass(frozen=True)
class _Layout:
    """A data-set text and where its parts stand in it, in characters."""

    text: str
    opening: tuple[int, int]
    """the begin marker before z, with the white space after it"""
    trace: tuple[int, int]
    answer: tuple[int, int] | None = None


def load(model: str | Path, wording: Wording) -> "Renderer":
    """A renderer with the tokenizer of a model directory.

    Raises:
        FileNotFoundError: `model` is no model directory.
    """
    return Renderer(load_tokenizer(model), wording)


def with_prompt_of_training(questions: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Held-out questions; those without a system prompt get that of the training questions, where all have one.

    Args:
        questions: held-out questions: system (null: the wording's own).
        problems: training questions: system.
    """
    prompts = problems["system"].unique()
    if prompts.null_count() or len(prompts) != 1:
        return questions
    return questions.with_columns(pl.col("system").fill_null(prompts[0]))


def warn_of_unknown_prompts(questions: pl.DataFrame, problems: pl.DataFrame, wording: Wording) -> None:
    """Log a warning where held-out questions are asked with a system prompt that no training question has.

    Args:
        questions: held-out questions: problem_id, system (null: the wording's own).
        problems: training questions: system.
    """
    system = pl.col("system").fill_null(wording.reasoner)
    unknown = questions.filter(~system.is_in(problems.select(system).to_series().unique().implode()))
    if unknown.height:
        logger.warning(
            "%d of %d questions are asked with a system prompt that no training question has, the first: %s",
            unknown.height, questions.height, unknown["problem_id"][0],
        )  # fmt: skip


class Renderer:
    """Builds prompts and examples with one tokenizer and one wording.

    Raises (all methods):
        ValueError: the tokenizer is not a fast one, or writes text on both sides of a border as one token; a solution
            lacks a marker (names the problem).
    """

    def __init__(self, tokenizer: Any, wording: Wording) -> None:
        self.tokenizer = tokenizer
        self.wording = wording
        self._between = cache(self._encode_between)
        self._standard = cache(self._encode_standard)

    # What is asked

    @property
    def trace_end(self) -> str:
        """The marker that ends a sampled trace."""
        return markers.trace_markers(self.wording.template)[1] if self._from_posterior else markers.END_THOUGHT

    @property
    def _name(self) -> str:
        """The tokenizer's, for messages."""
        return self.tokenizer.name_or_path or type(self.tokenizer).__name__

    @property
    def _from_posterior(self) -> bool:
        return self.wording.proposal == "posterior"

    def hint_missing(self, problem: Problem) -> bool:
        """Whether the hint should be the reference answer and there is none: the hint is then the whole solution."""
        return self.wording.hint == "answer" and not problem["reference"]

    def reasoner_prompt(self, problem: Problem) -> list[int]:
        """What pi is given before it thinks: the conversation and `<|begin_of_thought|>`."""
        return self._prompt(self._reasoner_prompt_text(problem))

    def reasoner_prompts(self, problems: Sequence[Problem]) -> list[list[int]]:
        """`reasoner_prompt` of many problems at once."""
        return self._prompts([self._reasoner_prompt_text(problem) for problem in problems])

    def proposal_prompt(self, problem: Problem) -> list[int]:
        """What the model that traces are drawn from is given."""
        return self._prompt(
            self._posterior_prompt_text(problem) if self._from_posterior else self._reasoner_prompt_text(problem)
        )

    def answer_prompt(self, problem: Problem, trace_ids: Sequence[int]) -> list[int]:
        """What pi is given before it answers: the conversation, z and `<|begin_of_solution|>`."""
        return [*self.reasoner_prompt(problem), *trace_ids, *self._answer_lead(trace_ids)]

    def untrained_prompt(self, problem: Problem) -> list[int]:
        """What a model that was not trained here is given: its own chat template (ChatML if it has none), no prefill.

        Raises:
            ValueError: the model's template refuses a system prompt, or cannot be used at all.
        """
        system, question = self.wording.untrained, problem["question"]
        if not self.tokenizer.chat_template:
            return encode(self.tokenizer, markers.conversation(system, question))
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": question})
        try:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program: its errors are jinja2's and Python's
            raise ValueError(f"tokenizer {self._name!r}: its chat template: {error}") from error
        return encode(self.tokenizer, text)

    # Examples of sampled ids

    def as_reasoner_trace(self, trace_ids: Sequence[int], thought_tokens: int) -> list[int]:
        """A sampled z as pi writes it: template A's end marker gives way to pi's own.

        The ids wholly before the end marker stay. What the id on the border holds of z is encoded again, together with
        the new marker. A trace without end marker stays as it is.

        Args:
            thought_tokens: number of ids wholly before the end marker.
        """
        if self.trace_end == markers.END_THOUGHT:
            return list(trace_ids)
        whole_before = None
        for kept in range(thought_tokens, max(thought_tokens - _LONGEST_CHARACTER, -1), -1):
            before, end, _ = decode(self.tokenizer, trace_ids[kept:]).partition(self.trace_end)
            if not end:
                return list(trace_ids)
            if whole_before is None:
                whole_before = before
            if _BROKEN not in before:  # else the border cuts a character, which the ids before it begin
                return [*trace_ids[:kept], *self._end_of_thought(before)]
        return [*trace_ids[:thought_tokens], *self._end_of_thought(whole_before or "")]

    def reasoner_example(
        self, problem: Problem, trace_ids: Sequence[int], answer_ids: Sequence[int] | None = None
    ) -> Example:
        """(x, z, y) of sampled ids.

        Args:
            trace_ids: z as pi writes it (`as_reasoner_trace`), with its end marker.
            answer_ids: y with its end marker; None: the data set's own y*.
        """
        if answer_ids is None:
            answer_ids = self._reference_answer(problem)
        return self._reasoner_example(self.reasoner_prompt(problem), trace_ids, answer_ids)

    def reasoner_examples(self, rows: Iterable[tuple[Problem, Sequence[int], Sequence[int]]]) -> Iterator[Example]:
        """`reasoner_example` of many (problem, trace ids, answer ids) at once."""
        rows = list(rows)
        prompts = self.reasoner_prompts([problem for problem, _, _ in rows])
        for prompt, (_, trace_ids, answer_ids) in zip(prompts, rows, strict=True):
            yield self._reasoner_example(prompt, trace_ids, answer_ids)

    def proposal_example(self, problem: Problem, trace_ids: Sequence[int]) -> Example:
        """A sampled z under the model that it was drawn from: q's (x, y', z); with proposal `initial` pi's own."""
        if not self._from_posterior:
            return self.reasoner_example(problem, trace_ids)
        prompt = self.proposal_prompt(problem)
        rest = self._after_trace(trace_ids, self.trace_end, markers.BLANK, markers.TURN_END)
        ids = [*prompt, *trace_ids, *rest, *self._turn_end()]
        return Example(ids=ids, trained_from=len(prompt), trace=(len(prompt), len(prompt) + len(trace_ids)))

    # Examples of data-set text

    def initial_example(self, problem: Problem) -> Example:
        """(x, z*, y*): pi is trained on the whole response, from its first marker to the end of the turn."""
        return self.initial_examples([problem])[0]

    def initial_examples(self, problems: Sequence[Problem]) -> list[Example]:
        """`initial_example` of many problems at once, encoded on all cores."""
        return self._examples([self._initial_layout(problem) for problem in problems])

    def posterior_example(self, problem: Problem) -> Example:
        """(x, y', z*): q is trained on z* with its end marker, and the end of the turn.

        The blank line that follows the marker in pi's text stands in q's too. So both write the marker with the same
        tokens, and pi can continue a trace of q as one of its own.
        """
        return self.posterior_examples([problem])[0]

    def posterior_examples(self, problems: Sequence[Problem]) -> list[Example]:
        """`posterior_example` of many problems at once, encoded on all cores."""
        return self._examples([self._posterior_layout(problem) for problem in problems])

    def reference_ids(self, problem: Problem) -> tuple[list[int], list[int]]:
        """Ids of z* and of y*, each with its end marker, as they stand in `initial_example`."""
        return self.reference_ids_batch([problem])[0]

    def reference_ids_batch(self, problems: Sequence[Problem]) -> list[tuple[list[int], list[int]]]:
        """`reference_ids` of many problems at once, encoded on all cores."""
        examples = self.initial_examples(problems)
        return [(x.ids[slice(*x.trace)], x.ids[slice(*x.answer)]) for x in examples if x.answer is not None]

    # Texts

    def _reasoner_conversation(self, problem: Problem) -> str:
        return markers.conversation(problem["system"] or self.wording.reasoner, problem["question"])

    def _reasoner_prompt_text(self, problem: Problem) -> str:
        return self._reasoner_conversation(problem) + markers.open_part(markers.BEGIN_THOUGHT)

    def _posterior_prompt_text(self, problem: Problem) -> str:
        hint = markers.hint_text(self.wording.hint, _parts(problem)[1], problem["reference"])
        lead = markers.posterior_lead(hint, self.wording.template)
        return markers.conversation(self.wording.posterior, problem["question"]) + lead

    def _initial_layout(self, problem: Problem) -> _Layout:
        thought, solution = _parts(problem)
        opening = len(self._reasoner_conversation(problem))
        to_trace = self._reasoner_prompt_text(problem)
        to_trace_end = to_trace + markers.ended(thought, markers.END_THOUGHT)
        text = to_trace_end + markers.answered(solution)
        return _Layout(
            text=text + markers.TURN_END,
            opening=(opening, len(to_trace)),
            trace=(len(to_trace), len(to_trace_end)),
            answer=(len(to_trace_end) + len(markers.ANSWER_LEAD), len(text)),
        )

    def _posterior_layout(self, problem: Problem) -> _Layout:
        begin, end = markers.trace_markers(self.wording.template)
        to_trace = self._posterior_prompt_text(problem)
        text = to_trace + markers.ended(_parts(problem)[0], end)
        return _Layout(
            text=text + markers.BLANK + markers.TURN_END,
            opening=(len(to_trace) - len(markers.open_part(begin)), len(to_trace)),
            trace=(len(to_trace), len(text)),
        )

    # Ids

    def _prompt(self, text: str) -> list[int]:
        return self._prompts([text])[0]

    def _prompts(self, texts: Sequence[str]) -> list[list[int]]:
        different = list(dict.fromkeys(texts))  # the rows of a question have the same prompt
        found = encode_all(self.tokenizer, [text + _LETTER for text in different])
        of_text = {t: e.ids[: self._token_from(e, len(t))] for t, e in zip(different, found, strict=True)}
        return [of_text[text] for text in texts]

    def _examples(self, layouts: Sequence[_Layout]) -> list[Example]:
        found = encode_all(self.tokenizer, [layout.text for layout in layouts], [layout.trace for layout in layouts])
        return [self._example(encoded, layout) for encoded, layout in zip(found, layouts, strict=True)]

    def _example(self, encoded: Encoded, layout: _Layout) -> Example:
        """The encoding of a text, with the tokens of prompts at the two borders where a prompt ends."""
        ids, begin, end = encoded.ids, self._token_from(encoded, layout.trace[0]), layout.trace[1]
        trace_end = encoded.token_to(end)
        opening = self._opening(layout.text[slice(*layout.opening)])
        prompt = ids[: self._token_from(encoded, layout.opening[0])] + opening
        if layout.answer is not None:
            answer = ids[self._token_from(encoded, layout.answer[0]) : encoded.token_to(layout.answer[1])]
            return self._reasoner_example(prompt, ids[begin:trace_end], answer)
        span = (len(prompt), len(prompt) + trace_end - begin)
        return Example(ids=prompt + ids[begin:], trained_from=len(prompt), trace=span)

    def _reasoner_example(self, prompt: list[int], trace_ids: Sequence[int], answer_ids: Sequence[int]) -> Example:
        """pi's example; `prompt` ends with `<|begin_of_thought|>`, which is trained on."""
        lead = self._answer_lead(trace_ids)
        trace_end = len(prompt) + len(trace_ids)
        answer_begin = trace_end + len(lead)
        return Example(
            ids=[*prompt, *trace_ids, *lead, *answer_ids, *self._turn_end()],
            trained_from=len(prompt) - len(self._opening(markers.open_part(markers.BEGIN_THOUGHT))),
            trace=(len(prompt), trace_end),
            answer=(answer_begin, answer_begin + len(answer_ids)),
        )

    def _turn_end(self) -> list[int]:
        return self._between("", markers.TURN_END, "")

    def _opening(self, text: str) -> list[int]:
        """Ids of the begin marker before z, as they stand in a prompt."""
        return self._between(markers.conversation("", _LETTER), text, _LETTER)

    def _reference_answer(self, problem: Problem) -> list[int]:
        """Ids of y* with its end marker."""
        solution = markers.ended(_parts(problem)[1], markers.END_SOLUTION)
        return self._encode_between(markers.open_part(markers.BEGIN_SOLUTION), solution, markers.TURN_END)

    def _answer_lead(self, trace_ids: Sequence[int]) -> list[int]:
        """Ids between a trace and its answer."""
        return self._after_trace(trace_ids, markers.END_THOUGHT, markers.ANSWER_LEAD, _LETTER)

    def _after_trace(self, trace_ids: Sequence[int], marker: str, text: str, after: str) -> list[int]:
        """Ids of the format's `text` between a trace and `after`.

        They are those of a data-set text where the trace ends on a token as such texts do.
        """
        overhang = self._overhang(trace_ids, marker)
        standard_overhang, standard = self._standard(marker, text, after)
        if overhang == standard_overhang:
            return standard
        return self._between("", markers.left_to_say(text, overhang), after)

    def _overhang(self, trace_ids: Sequence[int], marker: str) -> str:
        """The text that a trace's last id holds beyond the end marker."""
        _, end, overhang = decode(self.tokenizer, trace_ids[-len(marker.encode()) :]).rpartition(marker)
        return overhang if end else ""

    def _encode_standard(self, marker: str, text: str, after: str) -> tuple[str, list[int]]:
        """Of a data-set text: the overhang of the token that ends `marker`, and the ids between it and `after`."""
        to_trace_end = markers.ended(_LETTER, marker)
        (encoded,) = encode_all(self.tokenizer, [to_trace_end + text + after])
        trace_end = encoded.token_to(len(to_trace_end))
        following = encoded.ids[trace_end : self._token_from(encoded, len(to_trace_end) + len(text))]
        return self._overhang(encoded.ids[:trace_end], marker), following

    def _end_of_thought(self, before: str) -> list[int]:
        """Ids of the last of z and its end marker, as they stand before an answer."""
        text = before + markers.END_THOUGHT
        (encoded,) = encode_all(self.tokenizer, [text + markers.ANSWER_LEAD + _LETTER])
        return encoded.ids[: encoded.token_to(len(text))]

    def _encode_between(self, before: str, text: str, after: str) -> list[int]:
        """Ids of `text` where it stands between two others."""
        (encoded,) = encode_all(self.tokenizer, [before + text + after])
        end = self._token_from(encoded, len(before) + len(text)) if after else len(encoded.ids)
        return encoded.ids[self._token_from(encoded, len(before)) : end]

    def _token_from(self, encoded: Encoded, character: int) -> int:
        """The token that begins with this character of the text."""
        token = encoded.token_from(character) if character else 0
        if token is None:
            raise ValueError(
                f"tokenizer {self._name!r} has one token for both sides of a border of the response format"
            )
        return token


def _parts(problem: Problem) -> tuple[str, str]:
    """z* and y* of a problem."""
    try:
        return markers.split_response(problem["solution"])
    except ValueError as error:
        raise ValueError(f"problems: {problem.get('problem_id')!r}: {error}") from error
