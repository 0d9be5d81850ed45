"""Traces z_k ~ q(. | x, y') of one seed, for every train question (step 2; with hint none: from pi_0).

Reads PROBLEMS, SAMPLER (which model writes traces), the system prompts REASONER and POSTERIOR.
Writes TRACES (tables.Traces), whose name seed=N.parquet says which seed.
"""

import logging
from pathlib import Path

import polars as pl

from stages import counts, machine, params, prompt, run
from stages.trace_sampler import model_of
from vr import sampling, tables, tokens
from vr.params import SampleTraces
from vr.roles import QUESTION_COLUMNS, Roles


def main(problems: Path, sampler: Path, reasoner: Path, posterior: Path, traces: Path) -> None:
    p, seed, model = params(SampleTraces), tables.seed_of(traces), model_of(sampler)
    train = tables.read(problems, tables.Problems, QUESTION_COLUMNS).filter(split="train")
    roles = Roles(tokens.Coder(tokens.load(model)), prompt(reasoner), prompt(posterior), p.hint, p.template)
    requests = [
        sampling.Request(
            roles.sampler_prompt(problem), sampling.request_seed("sample_traces", problem["problem_id"], seed)
        )
        for problem in train.iter_rows(named=True)
    ]
    samples = list(
        sampling.sample(
            model,
            requests,
            temperature=p.temperature,
            top_p=p.top_p,
            max_tokens=p.max_tokens,
            end_marker=roles.trace_end,
            machine=machine(),
        )
    )
    frame = pl.DataFrame(
        {
            "problem_id": train["problem_id"],
            "seed": [seed] * train.height,
            "trace_ids": [sample.ids for sample in samples],
            "trace_tokens": [len(sample.ids) for sample in samples],
            "thought_tokens": [sample.thought_tokens for sample in samples],
            "text": [sample.text for sample in samples],
            "finish": [sample.finish for sample in samples],
        },
        schema_overrides={"trace_ids": pl.List(pl.Int32)},
    )
    tables.write(frame, traces, tables.Traces)
    logging.info("seed %d: %d traces: %s", seed, frame.height, counts(frame, "finish"))


if __name__ == "__main__":
    run(main)
