"""The final training set: chosen or weighted traces, fallbacks, and the data set's own rows (step 6).

Reads PROBLEMS, WEIGHTS, the weighed seeds' files in the folders TRACES and LIKELIHOOD, the tokenizer of BASE.
Writes FINAL (tables.Final).
"""

import logging
from pathlib import Path

import dataframely as dy

from stages import counts, params, run
from vr import selection, tables, tokens
from vr.params import BuildFinal
from vr.weights import KEY


def main(problems: Path, weights: Path, traces: Path, likelihood: Path, base: Path, final: Path) -> None:
    p = params(BuildFinal)
    weighed = tables.read(weights, tables.Weights)
    seeds = weighed["seed"].unique().sort()

    def of_seeds(folder: Path, schema: type[dy.Schema], columns: tuple[str, ...]) -> dict[int, tables.ByProblem]:
        return {seed: tables.ByProblem(folder / f"seed={seed}.parquet", schema, (*KEY, *columns)) for seed in seeds}

    questions = tables.read_batches(problems, tables.Problems, ("problem_id", "split", "solution"))
    frames = selection.build(
        (batch.filter(split="train") for batch in questions),
        of_seeds(traces, tables.Traces, ("trace_ids", "thought_tokens", "text")),
        of_seeds(likelihood, tables.Likelihood, ("answer_ids",)),
        weighed,
        coder=tokens.Coder(tokens.load(base)),
        template="B" if p.hint == "none" else p.template,
        selection=p.selection,
        mix=p.mix,
    )
    tables.write_batches(frames, final, tables.Final)
    written = tables.read(final, tables.Final, ("origin",))
    logging.info("%s, mix %s: %d rows: %s", p.selection, p.mix, written.height, counts(written, "origin"))


if __name__ == "__main__":
    run(main)
