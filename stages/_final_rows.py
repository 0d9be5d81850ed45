"""The base model trained on a table of rows, as the final model is, and as a baseline beside it."""

from pathlib import Path

from stages import _published, _renderer
from stages._run import WORK
from stages._settings import machine
from vr.engines.training import trainer
from vr.renderers import training_rows
from vr.settings.training import Train
from vr.tables import keys, parquet, schemas


def train(
    p: Train, problems: Path, final_rows: Path, base: Path, reasoner: Path, out: Path, statistics: Path, curves: Path
) -> None:
    """Train on `final_rows` (schemas.Final), or take the published model that `p` names.

    The batch grows with the rows a question has, so that the number of steps is that of the initial training.

    Raises:
        FileNotFoundError, ValueError, RuntimeError, OSError: as `trainer.train`, `models.fetch` and `parquet.read`.
    """
    if p.source is not None:
        _published.take(p, base, out, statistics, curves)
        return
    rows = training_rows.final_rows(
        parquet.read_batches(final_rows, schemas.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
        parquet.read(problems, schemas.Problems, ("problem_id", "question", "system")),
        _renderer.load(base, reasoner=reasoner),
    )
    per_question = keys.rows_per_problem(final_rows, schemas.Final)
    result = trainer.train(rows, base, out, params=p, rows_per_question=per_question, machine=machine(), work_root=WORK)
    result.write(statistics, curves)
