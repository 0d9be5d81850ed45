"""The two roles, pi and q: what each is given for one problem, as token ids.

With hint `none` the traces come from pi_0 itself: q's role is then pi's, so that the log ratio is 0 by itself.
A problem is a row of schemas.Problems as a dict with QUESTION_COLUMNS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from vr.renderers import markers
from vr.renderers.renderer import Example, Renderer
from vr.tables import parquet

QUESTION_COLUMNS = ("problem_id", "source", "split", "question", "system", "solution", "reference")
Problem = Mapping[str, Any]


@dataclass(frozen=True)
class Roles:
    """Builds the prompts and rows of both models with one tokenizer and one setting of hint and template."""

    coder: Renderer
    reasoner_system: str
    posterior_system: str
    hint: str
    template: str

    @property
    def trace_template(self) -> str:
        """The template whose end marker a sampled trace has."""
        return "B" if self.hint == "none" else self.template

    @property
    def trace_end(self) -> str:
        """The marker that ends a sampled trace."""
        return markers.trace_markers(self.trace_template)[1]

    def _system(self, problem: Problem) -> str:
        return problem["system"] or self.reasoner_system

    def _hint(self, problem: Problem) -> str:
        solution = markers.split_response(problem["solution"])[1]
        return markers.hint_text(self.hint, solution, problem["reference"])

    def sampler_prompt(self, problem: Problem) -> list[int]:
        """What the sampler of traces is given."""
        if self.hint == "none":
            return self.coder.reasoner_prompt(problem["question"], self._system(problem))
        return self.coder.posterior_prompt(
            problem["question"], self.posterior_system, self._hint(problem), self.template
        )

    def sampler_row(self, problem: Problem, trace_ids: Sequence[int]) -> Example:
        """(x, y', z_k), to score z_k under its sampler."""
        if self.hint == "none":
            return self.reasoner_row(problem, trace_ids)  # the very row of pi_0, so that the ratio is 1 to the last bit
        return self.coder.posterior_row(
            problem["question"], self.posterior_system, self._hint(problem), self.template, trace_ids
        )

    def reasoner_trace(self, trace_ids: Sequence[int], thought_tokens: int) -> list[int]:
        """A sampled z_k as pi writes it."""
        return self.coder.reasoner_trace(trace_ids, thought_tokens, self.trace_template)

    def reasoner_row(self, problem: Problem, trace_ids: Sequence[int]) -> Example:
        """(x, z_k, y*), to score z_k and the reference answer under pi_0 in one pass."""
        answer = self.coder.ended(markers.split_response(problem["solution"])[1], markers.END_SOLUTION)
        return self.coder.reasoner_row(problem["question"], self._system(problem), trace_ids, answer)

    def answer_prompt(self, problem: Problem, trace_ids: Sequence[int]) -> list[int]:
        """(x, z_k), for pi_0 to answer."""
        return self.coder.answer_prompt(problem["question"], self._system(problem), trace_ids)


def rows_of_traces(
    problems: pl.DataFrame, traces: pl.DataFrame, row_of: Callable[[Problem, Sequence[int], int], Example]
) -> list[Example]:
    """`row_of(problem, trace_ids, thought_tokens)` for every trace, in the order of `traces`.

    Raises:
        ValueError: a trace whose problem is missing.
    """
    given = parquet.with_problems(traces.select("problem_id", "trace_ids", "thought_tokens"), problems)
    return [row_of(row, row["trace_ids"], row["thought_tokens"]) for row in given.iter_rows(named=True)]
