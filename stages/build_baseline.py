"""The training set of a baseline, as large as the final one; the table's name says of which baseline.

    sft   the data set's own rows, as often as the final set has rows of a question

Reads PROBLEMS, those of them in SUBSET, the tokenizer of BASE. Writes BASELINE (schemas.Final).
Rows are repeated so that a baseline takes as many steps as the final model, on as many rows of the same questions: what
is left of a difference between the two is due to the traces. The paper's own baseline sees each row once an epoch.
"""

import logging
from pathlib import Path

from stages import _renderer
from stages._run import Out, run
from stages._settings import params
from vr.method import selection
from vr.renderers.renderer import PROBLEM_COLUMNS
from vr.settings.params import BuildBaseline
from vr.tables import keys, parquet, schemas

ROWS = {"sft": selection.build_sft}
"""What makes the rows of each baseline."""


def main(problems: Path, subset: Path, base: Path, baseline: Out) -> None:
    if baseline.stem not in ROWS:
        raise ValueError(f"{baseline}: the table should be named after a baseline (there are: {', '.join(ROWS)})")
    p, rows_of = params(BuildBaseline), ROWS[baseline.stem]
    frames = rows_of(keys.problem_batches_of(problems, subset, PROBLEM_COLUMNS), _renderer.load(base), p)
    parquet.write_batches(frames, baseline, schemas.Final)
    n_rows = parquet.read(baseline, schemas.Final, ("problem_id", "row")).height
    logging.info("%s: %d rows, %d for each question", baseline.stem, n_rows, p.rows_per_question)


if __name__ == "__main__":
    run(main)
