"""M answers y ~ pi_0(. | x, z_k) to every finished trace of one seed (step 4, for the acc estimator).

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes ANSWERS (schemas.Answers).
A trace without its end marker gets no answers: its weight is 0 whatever they would be.
"""

import logging
from functools import partial
from pathlib import Path

import polars as pl

from stages import _renderer
from stages._run import Out, counts, run, work_folder
from stages._settings import machine, params
from vr.engines import draws
from vr.execution import resume
from vr.settings.params import SampleAnswers
from vr.tables import keys, parquet, schemas
from vr.tables.vocabulary import TRACE_KEY


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, answers: Out) -> None:
    p, how = params(SampleAnswers), machine()
    sampled = parquet.read(
        traces, schemas.Traces, (*TRACE_KEY, "trace_ids", "trace_tokens", "thought_tokens", "finish")
    )
    finished = keys.with_problems(
        sampled.filter(pl.col("finish").cast(pl.String) == "marker"), parquet.read(problems, schemas.Problems)
    )
    renderer = _renderer.load(initial, reasoner=reasoner, template=p.template, proposal=keys.proposal_of(traces))
    sampler = draws.Sampler(initial, renderer, p, how)
    compute = partial(draws.answers, sampler, finished, p.samples)
    with work_folder(answers, problems, traces, initial, reasoner, p.model_dump()) as folder:
        total = finished.height * p.samples
        resume.write(folder, total, compute, answers, schemas.Answers, shard_rows=how.shard_rows)
    finish = parquet.read(answers, schemas.Answers, ("finish",))
    unfinished = sampled.height - finished.height
    logging.info("%d answers: %s; %d unfinished traces have none", total, counts(finish, "finish"), unfinished)


if __name__ == "__main__":
    run(main)
