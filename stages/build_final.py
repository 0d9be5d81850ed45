"""The final training set: chosen or weighted traces, fallbacks, and the data set's own rows (step 6).

Reads PROBLEMS, WEIGHTS, the weighed seeds' files in the folders TRACES and LIKELIHOOD, the tokenizer of BASE.
Writes FINAL (schemas.Final).
"""

import logging
from pathlib import Path

import dataframely as dy

from stages import counts, params, run
from vr.method import selection
from vr.method.weights import KEY
from vr.renderers import renderer
from vr.settings.params import BuildFinal
from vr.tables import parquet, schemas


def main(problems: Path, weights: Path, traces: Path, likelihood: Path, base: Path, final: Path) -> None:
    p = params(BuildFinal)
    weighed = parquet.read(weights, schemas.Weights)
    seeds = weighed["seed"].unique().sort()

    def of_seeds(folder: Path, schema: type[dy.Schema], columns: tuple[str, ...]) -> dict[int, parquet.ByProblem]:
        return {seed: parquet.ByProblem(folder / f"seed={seed}.parquet", schema, (*KEY, *columns)) for seed in seeds}

    questions = parquet.read_batches(problems, schemas.Problems, ("problem_id", "split", "solution"))
    frames = selection.build(
        (batch.filter(split="train") for batch in questions),
        of_seeds(traces, schemas.Traces, ("trace_ids", "thought_tokens", "text")),
        of_seeds(likelihood, schemas.Likelihood, ("answer_ids",)),
        weighed,
        coder=renderer.Renderer(renderer.load(base)),
        template="B" if p.hint == "none" else p.template,
        selection=p.selection,
        mix=p.mix,
    )
    parquet.write_batches(frames, final, schemas.Final)
    written = parquet.read(final, schemas.Final, ("origin",))
    logging.info("%s, mix %s: %d rows: %s", p.selection, p.mix, written.height, counts(written, "origin"))


if __name__ == "__main__":
    run(main)
