"""M answers y ~ pi_0(. | x, z_k) to every finished trace of one seed (step 4, for the acc estimator).

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes ANSWERS (schemas.Answers).
A trace without its end marker is given no answers: its weight is 0 whatever they were.
"""

import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import polars as pl

from stages import counts, machine, params, prompt, run, unfinished
from vr.engines import sampling
from vr.execution import resume
from vr.renderers import renderer
from vr.renderers.markers import END_SOLUTION
from vr.renderers.roles import QUESTION_COLUMNS, Roles
from vr.settings.params import SampleAnswers
from vr.tables import parquet, schemas


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, answers: Path) -> None:
    p, here, seed = params(SampleAnswers), machine(), parquet.seed_of(answers)
    trace_columns = ("problem_id", "seed", "trace_ids", "thought_tokens", "finish")
    sampled = parquet.read(traces, schemas.Traces, trace_columns)
    finished = parquet.with_problems(
        sampled.filter(pl.col("finish").cast(pl.String) == "marker"),
        parquet.read(problems, schemas.Problems, QUESTION_COLUMNS),
    )
    roles = Roles(renderer.Renderer(renderer.load(initial)), prompt(reasoner), "", p.hint, p.template)

    @lru_cache(maxsize=1)  # the M requests of a trace come one after another
    def prompt_of(trace: int) -> list[int]:
        row = finished.row(trace, named=True)
        return roles.answer_prompt(row, roles.reasoner_trace(row["trace_ids"], row["thought_tokens"]))

    def requests(numbers: list[int]) -> Iterator[sampling.Request]:
        for n in numbers:
            trace, m = divmod(n, p.samples)
            request_seed = sampling.request_seed("sample_answers", finished["problem_id"][trace], seed, m)
            yield sampling.Request(n, prompt_of(trace), request_seed)

    def drawn(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
        samples = sampling.sample(
            initial, requests(numbers), total=len(numbers), **p.decoding, end_marker=END_SOLUTION, machine=here
        )
        for n, sample in samples:
            trace, m = divmod(n, p.samples)
            yield (
                n,
                {
                    "problem_id": finished["problem_id"][trace],
                    "seed": seed,
                    "sample": m,
                    "answer_ids": sample.ids,
                    "text": sample.text,
                    "finish": sample.finish,
                },
            )

    with unfinished(answers, problems, traces, initial, reasoner, p.model_dump()) as folder:
        total = finished.height * p.samples
        resume.write(folder, total, drawn, answers, schemas.Answers, shard_rows=here.shard_rows)
    finish = parquet.read(answers, schemas.Answers, ("finish",))
    skipped = sampled.height - finished.height
    logging.info("seed %d: %d answers: %s; %d unfinished traces", seed, total, counts(finish, "finish"), skipped)


if __name__ == "__main__":
    run(main)
