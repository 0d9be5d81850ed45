"""pi_0: the base model trained on the data set's own traces and answers (step 1).

Reads PROBLEMS, those of them in SUBSET, the model BASE, the system prompt REASONER.
Writes the model INITIAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
Where the params name a published model, that model is taken and nothing is trained.
"""

from pathlib import Path

from stages import _published, _renderer
from stages._run import WORK, Out, run
from stages._settings import machine, params
from vr.engines.training import trainer
from vr.renderers import training_rows
from vr.settings.training import TrainInitial
from vr.tables import keys


def main(problems: Path, subset: Path, base: Path, reasoner: Path, initial: Out, statistics: Out, curves: Out) -> None:
    p = params(TrainInitial)
    if p.source is not None:
        _published.take(p, base, initial, statistics, curves)
        return
    rows = training_rows.initial_rows(
        keys.problem_batches_of(problems, subset), _renderer.load(base, reasoner=reasoner)
    )
    result = trainer.train(rows, base, initial, params=p, rows_per_question=1, machine=machine(), work_root=WORK)
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
