"""Rows of the tables that sampling fills: traces, answers to traces, responses to held-out questions.

Each function gives the rows of some indices, as pairs of index and row in the order in which they finish, which is
what vr/execution/resume.py asks for. Every sample has a seed of its own, made from its key.

Dimensions: Q questions, M answers a trace, n responses a question.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vr.engines.sampling import Request, Sample, request_seed, sample
from vr.execution.resume import Row
from vr.renderers.markers import END_SOLUTION
from vr.renderers.renderer import Renderer
from vr.renderers.trace_examples import require_known_ids
from vr.settings.machine import Machine
from vr.settings.params import Sampling
from vr.tables import parquet, schemas

Draws = Iterator[tuple[int, Row]]


@dataclass(frozen=True)
class Sampler:
    """A model, what it is shown, and how its texts are drawn."""

    model: Path
    renderer: Renderer
    decoding: Sampling
    machine: Machine

    def draw(
        self,
        indices: Sequence[int],
        request: Callable[[int], Request],
        *,
        end_marker: str | None,
        logps: bool = False,
    ) -> Iterator[tuple[int, Sample]]:
        """The sample of every index, as they finish; requests are made as the engine gets to them."""
        requests = map(request, indices)
        return sample(
            self.model, requests, self.decoding, self.machine, total=len(indices), end_marker=end_marker, logps=logps
        )


def traces(sampler: Sampler, problems: pl.DataFrame, seed: int, indices: Sequence[int], *, logps: bool) -> Draws:
    """Rows of `schemas.Traces`: z_k of the problem with each index.

    Args:
        problems: Q rows of `schemas.Problems`.
        seed: k, which names the trace and fixes its random seed.
        logps: keep the log-prob of every token as it was drawn.
    """

    def request(index: int) -> Request:
        problem = problems.row(index, named=True)
        request_id = request_seed("sample_traces", problem["problem_id"], seed)
        return Request(index, sampler.renderer.proposal_prompt(problem), request_id)

    for index, drawn in sampler.draw(indices, request, end_marker=sampler.renderer.trace_end, logps=logps):
        yield (
            index,
            {
                "problem_id": problems["problem_id"][index],
                "seed": seed,
                "trace_ids": drawn.ids,
                "trace_tokens": len(drawn.ids),
                "thought_tokens": drawn.before_marker,
                "text": drawn.text,
                "finish": drawn.finish,
                "trace_logps": drawn.logps,
            },
        )


def answers(sampler: Sampler, finished: pl.DataFrame, samples: int, indices: Sequence[int]) -> Draws:
    """Rows of `schemas.Answers`: the M answers to the trace with index i have the indices M i .. M i + M - 1.

    Args:
        finished: traces that ended with their marker, with the columns of their problems.
        samples: M.

    Raises:
        ValueError: a trace has a token id that the model does not know; names the trace.
    """
    require_known_ids(finished, sampler.model)
    prompts: dict[int, list[int]] = {}

    def prompt(trace: int) -> list[int]:
        if trace not in prompts:  # the M requests of a trace follow one another
            prompts.clear()
            row = finished.row(trace, named=True)
            ids = sampler.renderer.as_reasoner_trace(row["trace_ids"], row["thought_tokens"])
            prompts[trace] = sampler.renderer.answer_prompt(row, ids)
        return prompts[trace]

    def request(index: int) -> Request:
        trace, m = divmod(index, samples)
        problem_id, seed = finished["problem_id"][trace], finished["seed"][trace]
        return Request(index, prompt(trace), request_seed("sample_answers", problem_id, seed, m))

    for index, drawn in sampler.draw(indices, request, end_marker=END_SOLUTION):
        trace, m = divmod(index, samples)
        yield (
            index,
            {
                "problem_id": finished["problem_id"][trace],
                "seed": finished["seed"][trace],
                "sample": m,
                "answer_ids": drawn.ids,
                "text": drawn.text,
                "finish": drawn.finish,
            },
        )


def responses(sampler: Sampler, asked: pl.DataFrame, seed: int, indices: Sequence[int], *, trained: bool) -> Draws:
    """Whole responses to held-out questions: index, text with its end marker, response_tokens, finish.

    Args:
        asked: a row for each response: the columns of `schemas.Benchmark`, and `sample`.
        seed: of the evaluation.
        trained: whether the model was trained here, on this response format: its turn is then prefilled.
    """
    render = sampler.renderer.reasoner_prompt if trained else sampler.renderer.untrained_prompt

    def request(index: int) -> Request:
        row = asked.row(index, named=True)
        return Request(index, render(row), request_seed("evaluate", row["problem_id"], seed, row["sample"]))

    for index, drawn in sampler.draw(indices, request, end_marker=END_SOLUTION):
        text = drawn.text + (END_SOLUTION if drawn.finish == "marker" else "")
        yield index, {"text": text, "response_tokens": len(drawn.ids), "finish": drawn.finish}


def response_types() -> dict[str, pl.DataType]:
    """Name and Polars type of each entry of a response."""
    of_evals = parquet.types(schemas.Evals)
    return {name: of_evals[name] for name in ("text", "response_tokens", "finish")}
