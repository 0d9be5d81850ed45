"""The final training set: chosen or weighted traces, fallbacks, and the data set's own rows (step 6).

Reads PROBLEMS, those of them in SUBSET, WEIGHTS, the weighed seeds' files in the folders TRACES and LIKELIHOOD, the
tokenizer of BASE. Writes FINAL (schemas.Final).
"""

import logging
from pathlib import Path

from stages import _renderer
from stages._run import Out, counts, run
from stages._settings import params
from vr.method import seed_tables, selection
from vr.renderers.renderer import PROBLEM_COLUMNS
from vr.settings.params import BuildFinal
from vr.tables import keys, parquet, schemas
from vr.tables.vocabulary import TRACE_KEY


def main(problems: Path, subset: Path, weights: Path, traces: Path, likelihood: Path, base: Path, final: Out) -> None:
    p = params(BuildFinal)
    weighed = parquet.read(weights, schemas.Weights, (*TRACE_KEY, "weight", "chosen"))
    seeds = weighed["seed"].unique().sort().to_list()
    frames = selection.build(
        keys.problem_batches_of(problems, subset, PROBLEM_COLUMNS),
        seed_tables.by_problem(traces, schemas.Traces, seeds, selection.TRACE_COLUMNS),
        seed_tables.by_problem(likelihood, schemas.Likelihood, seeds, selection.LIKELIHOOD_COLUMNS),
        weighed,
        _renderer.load(base, template=p.template, proposal=p.proposal),
        p,
    )
    parquet.write_batches(frames, final, schemas.Final)
    origin = parquet.read(final, schemas.Final, ("origin",))
    logging.info("%s, mix %s: %d rows: %s", p.selection, p.mix, origin.height, counts(origin, "origin"))


if __name__ == "__main__":
    run(main)
