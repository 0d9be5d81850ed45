"""Traces z_k ~ q(. | x, y') of one seed, for every train question (step 2; with hint none: from pi_0).

Reads PROBLEMS, SAMPLER (which model writes traces), the system prompts REASONER and POSTERIOR.
Writes TRACES (schemas.Traces), whose name seed=N.parquet says which seed.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from stages import counts, machine, params, prompt, run, unfinished
from stages.trace_sampler import model_of
from vr.engines import sampling
from vr.execution import resume
from vr.renderers import renderer
from vr.renderers.roles import QUESTION_COLUMNS, Roles
from vr.settings.params import SampleTraces
from vr.tables import parquet, schemas


def main(problems: Path, sampler: Path, reasoner: Path, posterior: Path, traces: Path) -> None:
    p, here, seed, model = params(SampleTraces), machine(), parquet.seed_of(traces), model_of(sampler)
    train = parquet.read(problems, schemas.Problems, QUESTION_COLUMNS).filter(split="train")
    roles = Roles(renderer.Renderer(renderer.load(model)), prompt(reasoner), prompt(posterior), p.hint, p.template)

    def requests(numbers: list[int]) -> Iterator[sampling.Request]:
        for n in numbers:
            problem = train.row(n, named=True)
            request_seed = sampling.request_seed("sample_traces", problem["problem_id"], seed)
            yield sampling.Request(n, roles.sampler_prompt(problem), request_seed)

    def drawn(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
        samples = sampling.sample(
            model,
            requests(numbers),
            total=len(numbers),
            **p.decoding,
            end_marker=roles.trace_end,
            machine=here,
            logps=p.posterior_logps == "sampler",
        )
        for n, sample in samples:
            yield (
                n,
                {
                    "problem_id": train["problem_id"][n],
                    "seed": seed,
                    "trace_ids": sample.ids,
                    "trace_tokens": len(sample.ids),
                    "thought_tokens": sample.thought_tokens,
                    "text": sample.text,
                    "finish": sample.finish,
                    "trace_logps": sample.logps,
                },
            )

    with unfinished(traces, problems, sampler, reasoner, posterior, p.model_dump()) as folder:
        resume.write(folder, train.height, drawn, traces, schemas.Traces, shard_rows=here.shard_rows)
    finish = parquet.read(traces, schemas.Traces, ("finish",))
    logging.info("seed %d: %d traces: %s", seed, finish.height, counts(finish, "finish"))


if __name__ == "__main__":
    run(main)
