"""Log-probs of one seed's traces under the model that sampled them, q(z_k | x, y') (step 3).

Reads PROBLEMS, TRACES, SAMPLER (which model that is), the system prompts REASONER and POSTERIOR.
Writes LOGPS (schemas.Logps) and STATISTICS (CSV: where the log-probs come from; where that is the sampler, how far a
few of them are from the scorer's).
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages import machine, params, prompt, run, unfinished
from stages.trace_sampler import model_of
from vr.engines.scoring import scorer
from vr.execution import resume
from vr.renderers import renderer
from vr.renderers.roles import QUESTION_COLUMNS, Roles, rows_of_traces
from vr.settings.params import ScorePosterior
from vr.tables import parquet, schemas

COMPARED_TRACES = 64


def main(
    problems: Path, traces: Path, sampler: Path, reasoner: Path, posterior: Path, logps: Path, statistics: Path
) -> None:
    p, here, model = params(ScorePosterior), machine(), model_of(sampler)
    roles = Roles(renderer.Renderer(renderer.load(model)), prompt(reasoner), prompt(posterior), p.hint, p.template)
    asked = parquet.read(problems, schemas.Problems, QUESTION_COLUMNS)
    columns = ["problem_id", "seed", "trace_ids", "thought_tokens"]
    if p.posterior_logps == "sampler":
        columns.append("trace_logps")
    sampled = parquet.read(traces, schemas.Traces, columns)

    def rows_of(block: pl.DataFrame) -> list[renderer.Example]:
        return rows_of_traces(asked, block, lambda problem, ids, _: roles.sampler_row(problem, ids))

    with (
        unfinished(logps, problems, traces, sampler, reasoner, posterior, p.model_dump()) as folder,
        scorer.scorer(model, here) as score,
    ):

        def scored(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
            return scorer.score_traces(score, sampled, rows_of, numbers, here.shard_rows, p.token_logps)

        compared = {}
        if p.posterior_logps == "sampler":
            parquet.write(scorer.sampled_logps(sampled, p.token_logps), logps, schemas.Logps)
            some = sampled.gather_every(max(1, sampled.height // COMPARED_TRACES))
            compared = scorer.differences(some["trace_logps"], score(rows_of(some), True))
        else:
            resume.write(folder, sampled.height, scored, logps, schemas.Logps, shard_rows=here.shard_rows)
    written = parquet.read(logps, schemas.Logps, ("trace_logp_sum", "trace_tokens"))
    summary = {
        "logps_from": p.posterior_logps,
        "traces": written.height,
        "trace_tokens": written["trace_tokens"].sum(),
        "not_scorable": written["trace_logp_sum"].null_count(),
        **compared,
    }
    statistics.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([summary]).write_csv(statistics)
    logging.info(", ".join(f"{name} {value}" for name, value in summary.items()))


if __name__ == "__main__":
    run(main)
