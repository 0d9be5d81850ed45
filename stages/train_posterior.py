"""q: the base model trained to write the data set's traces when shown the hint (step 1).

Reads PROBLEMS, the model BASE, the system prompt POSTERIOR.
Writes the model Q, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
"""

from pathlib import Path

from stages import WORK, machine, params, prompt, run
from vr.engines.training import trainer, training_set
from vr.renderers import renderer
from vr.settings.params import TrainPosterior
from vr.tables import parquet, schemas


def main(problems: Path, base: Path, posterior: Path, q: Path, statistics: Path, curves: Path) -> None:
    p = params(TrainPosterior)
    rows = training_set.posterior_rows(
        parquet.read_batches(problems, schemas.Problems),
        renderer.Renderer(renderer.load(base)),
        prompt(posterior),
        p.hint,
        p.template,
    )
    result = trainer.train(rows, base, q, params=p, rows_per_question=1, machine=machine(), work_root=WORK)
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
