"""M answers y ~ pi_0(. | x, z_k) to every finished trace of one seed (step 4, for the acc estimator).

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes ANSWERS (tables.Answers).
A trace without its end marker is given no answers: its weight is 0 whatever they were.
"""

import logging
from pathlib import Path

import polars as pl

from stages import counts, machine, params, prompt, run
from vr import sampling, tables, tokens
from vr.params import SampleAnswers
from vr.prompts import END_SOLUTION
from vr.roles import QUESTION_COLUMNS, Roles


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, answers: Path) -> None:
    p, seed = params(SampleAnswers), tables.seed_of(answers)
    rows = tables.read(traces, tables.Traces, ("problem_id", "seed", "trace_ids", "thought_tokens", "finish")).join(
        tables.read(problems, tables.Problems, QUESTION_COLUMNS), on="problem_id", how="left", validate="m:1"
    )
    if lost := rows.filter(pl.col("question").is_null())["problem_id"].to_list():
        raise ValueError(f"{problems}: problem_id {lost[0]!r} of {traces} is missing")
    finished = rows.filter(pl.col("finish").cast(pl.String) == "marker")
    roles = Roles(tokens.Coder(tokens.load(initial)), prompt(reasoner), "", p.hint, p.template)
    keys: list[tuple[str, int]] = []
    requests: list[sampling.Request] = []
    for row in finished.iter_rows(named=True):
        prompt_ids = roles.answer_prompt(row, roles.reasoner_trace(row["trace_ids"], row["thought_tokens"]))
        for m in range(p.samples):
            keys.append((row["problem_id"], m))
            requests.append(
                sampling.Request(prompt_ids, sampling.request_seed("sample_answers", row["problem_id"], seed, m))
            )
    samples = list(
        sampling.sample(
            initial,
            requests,
            temperature=p.temperature,
            top_p=p.top_p,
            max_tokens=p.max_tokens,
            end_marker=END_SOLUTION,
            machine=machine(),
        )
    )
    frame = pl.DataFrame(
        {
            "problem_id": [problem_id for problem_id, _ in keys],
            "seed": [seed] * len(keys),
            "sample": [m for _, m in keys],
            "answer_ids": [sample.ids for sample in samples],
            "text": [sample.text for sample in samples],
            "finish": [sample.finish for sample in samples],
        },
        schema_overrides={"answer_ids": pl.List(pl.Int32), "problem_id": pl.String},
    )
    tables.write(frame, answers, tables.Answers)
    skipped = rows.height - finished.height
    logging.info("seed %d: %d answers: %s; %d unfinished traces", seed, frame.height, counts(frame, "finish"), skipped)


if __name__ == "__main__":
    run(main)
