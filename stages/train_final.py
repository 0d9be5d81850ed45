"""The final model: the base model (not pi_0) trained on the weighted traces (step 7).

Reads PROBLEMS, FINAL_ROWS, the model BASE, the system prompt REASONER.
Writes the model FINAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
Where the params name a published model, that model is taken and nothing is trained.
The batch grows with the rows a question has, so that the number of steps is that of the initial training.
"""

from pathlib import Path

from stages import _published, _renderer
from stages._run import WORK, Out, run
from stages._settings import machine, params
from vr.engines.training import trainer
from vr.renderers import training_rows
from vr.settings.params import TrainFinal
from vr.tables import keys, parquet, schemas


def main(
    problems: Path, final_rows: Path, base: Path, reasoner: Path, final: Out, statistics: Out, curves: Out
) -> None:
    p = params(TrainFinal)
    if p.source is not None:
        _published.take(p, base, final, statistics, curves)
        return
    rows = training_rows.final_rows(
        parquet.read_batches(final_rows, schemas.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
        parquet.read(problems, schemas.Problems, ("problem_id", "question", "system")),
        _renderer.load(base, reasoner=reasoner),
    )
    per_question = keys.rows_per_problem(final_rows, schemas.Final)
    result = trainer.train(
        rows, base, final, params=p, rows_per_question=per_question, machine=machine(), work_root=WORK
    )
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
