"""The final model: the base model (not pi_0) trained on the weighted traces (step 7).

Reads PROBLEMS, FINAL_ROWS, the model BASE, the system prompt REASONER.
Writes the model FINAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
The batch grows with the rows a question has, so that the number of steps is that of the initial training.
"""

from pathlib import Path

from stages import WORK, machine, params, prompt, run
from vr.engines.training import trainer, training_set
from vr.renderers import renderer
from vr.settings.params import TrainFinal
from vr.tables import parquet, schemas


def main(
    problems: Path, final_rows: Path, base: Path, reasoner: Path, final: Path, statistics: Path, curves: Path
) -> None:
    p = params(TrainFinal)
    keys = parquet.read(final_rows, schemas.Final, ("problem_id", "row"))
    rows_per_question, rest = divmod(keys.height, keys["problem_id"].n_unique())
    if rest:
        raise ValueError(f"{final_rows}: {keys.height} rows, not the same number for every question")
    rows = training_set.final_rows(
        parquet.read_batches(final_rows, schemas.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
        parquet.read(problems, schemas.Problems, ("problem_id", "question", "system")),
        renderer.Renderer(renderer.load(base)),
        prompt(reasoner),
    )
    result = trainer.train(
        rows, base, final, params=p, rows_per_question=rows_per_question, machine=machine(), work_root=WORK
    )
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
