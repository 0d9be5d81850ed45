"""Log-probs of one seed's traces, and of the reference answer after each, under pi_0 (step 3): one pass for both.

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes LOGPS (schemas.Logps).
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages import machine, params, prompt, run, unfinished
from vr.engines.scoring import scorer
from vr.execution import resume
from vr.renderers import renderer
from vr.renderers.roles import QUESTION_COLUMNS, Roles, rows_of_traces
from vr.settings.params import ScoreInitial
from vr.tables import parquet, schemas


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, logps: Path) -> None:
    p, here = params(ScoreInitial), machine()
    roles = Roles(renderer.Renderer(renderer.load(initial)), prompt(reasoner), "", p.hint, p.template)
    asked = parquet.read(problems, schemas.Problems, QUESTION_COLUMNS)
    sampled = parquet.read(traces, schemas.Traces, ("problem_id", "seed", "trace_ids", "thought_tokens"))

    def rows_of(block: pl.DataFrame) -> list[renderer.Example]:
        return rows_of_traces(
            asked, block, lambda problem, ids, thought: roles.reasoner_row(problem, roles.reasoner_trace(ids, thought))
        )

    with (
        unfinished(logps, problems, traces, initial, reasoner, p.model_dump()) as folder,
        scorer.scorer(initial, here) as score,
    ):

        def scored(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
            return scorer.score_traces(score, sampled, rows_of, numbers, here.shard_rows, p.token_logps)

        resume.write(folder, sampled.height, scored, logps, schemas.Logps, shard_rows=here.shard_rows)
    written = parquet.read(logps, schemas.Logps, ("trace_logp_sum", "trace_tokens"))
    logging.info(
        "%d traces, %d tokens; %d not scorable",
        written.height, written["trace_tokens"].sum(), written["trace_logp_sum"].null_count(),
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
