"""The final training set: chosen or weighted traces, fallbacks, and the data set's own rows (step 6).

Reads PROBLEMS, WEIGHTS, the weighed seeds' files in the folders TRACES and LIKELIHOOD, the tokenizer of BASE.
Writes FINAL (tables.Final).
"""

import logging
from pathlib import Path

import polars as pl

from stages import counts, params, run
from vr import selection, tables, tokens
from vr.params import BuildFinal


def main(problems: Path, weights: Path, traces: Path, likelihood: Path, base: Path, final: Path) -> None:
    p = params(BuildFinal)
    weighed = tables.read(weights, tables.Weights)
    names = [f"seed={seed}.parquet" for seed in weighed["seed"].unique().sort()]
    trace_columns = ("problem_id", "seed", "trace_ids", "thought_tokens", "text")
    frame = selection.build(
        tables.read(problems, tables.Problems, ("problem_id", "split", "solution")).filter(split="train"),
        pl.concat(tables.read(traces / name, tables.Traces, trace_columns) for name in names),
        pl.concat(
            tables.read(likelihood / name, tables.Likelihood, ("problem_id", "seed", "answer_ids")) for name in names
        ),
        weighed,
        coder=tokens.Coder(tokens.load(base)),
        template="B" if p.hint == "none" else p.template,
        selection=p.selection,
        mix=p.mix,
    )
    tables.write(frame, final, tables.Final)
    logging.info("%s, mix %s: %d rows: %s", p.selection, p.mix, frame.height, counts(frame, "origin"))


if __name__ == "__main__":
    run(main)
