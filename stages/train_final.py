"""The final model: the base model (not pi_0) trained on the weighted traces (step 7).

Reads PROBLEMS, FINAL_ROWS, the model BASE, the system prompt REASONER.
Writes the model FINAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
The batch grows with the rows a question has, so that the number of steps is that of the initial training.
"""

from pathlib import Path

from stages import WORK, machine, params, prompt, run
from vr import sft, tables, tokens, training
from vr.params import TrainFinal


def main(
    problems: Path, final_rows: Path, base: Path, reasoner: Path, final: Path, statistics: Path, curves: Path
) -> None:
    p = params(TrainFinal)
    keys = tables.read(final_rows, tables.Final, ("problem_id", "row"))
    rows_per_question, rest = divmod(keys.height, keys["problem_id"].n_unique())
    if rest:
        raise ValueError(f"{final_rows}: {keys.height} rows, not the same number for every question")
    rows = sft.final_rows(
        tables.read_batches(final_rows, tables.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
        tables.read(problems, tables.Problems, ("problem_id", "question", "system")),
        tokens.Coder(tokens.load(base)),
        prompt(reasoner),
    )
    result = training.train(
        rows, base, final, params=p, rows_per_question=rows_per_question, machine=machine(), work_root=WORK
    )
    result.write(statistics, curves)


if __name__ == "__main__":
    run(main)
