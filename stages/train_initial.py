"""pi_0: the base model trained on the data set's own traces and answers (step 1).

Reads PROBLEMS, the model BASE, the system prompt REASONER.
Writes the model INITIAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
"""

from pathlib import Path

from stages import WORK, machine, params, prompt, run
from vr.engines.training import trainer, training_set
from vr.renderers import renderer
from vr.settings.params import TrainInitial
from vr.tables import parquet, schemas


def main(problems: Path, base: Path, reasoner: Path, initial: Path, statistics: Path, curves: Path) -> None:
    p = params(TrainInitial)
    batches = parquet.read_batches(problems, schemas.Problems)
    rows = training_set.initial_rows(batches, renderer.Renderer(renderer.load(base)), prompt(reasoner))
    result = trainer.train(rows, base, initial, params=p, rows_per_question=1, machine=machine(), work_root=WORK)
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
