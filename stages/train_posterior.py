"""q: the base model trained to write the data set's traces when shown the hint (step 1).

Reads PROBLEMS, those of them in SUBSET, the model BASE, the system prompt POSTERIOR.
Writes the model Q, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
Where the params name a published model, that model is taken and nothing is trained.
"""

from pathlib import Path

from stages import _published, _renderer
from stages._run import WORK, Out, run
from stages._settings import machine, params
from vr.engines.training import trainer
from vr.renderers import training_rows
from vr.settings.training import TrainPosterior
from vr.tables import keys


def main(problems: Path, subset: Path, base: Path, posterior: Path, q: Out, statistics: Out, curves: Out) -> None:
    p = params(TrainPosterior)
    if p.source is not None:
        _published.take(p, base, q, statistics, curves)
        return
    renderer = _renderer.load(base, posterior=posterior, hint=p.hint, template=p.template, proposal="posterior")
    _renderer.warn_of_missing_hints(renderer, keys.problems_of(problems, subset, ("problem_id", "reference")))
    rows = training_rows.posterior_rows(keys.problem_batches_of(problems, subset), renderer)
    result = trainer.train(rows, base, q, params=p, rows_per_question=1, machine=machine(), work_root=WORK)
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
