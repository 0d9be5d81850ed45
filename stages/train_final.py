"""The final model: the base model (not pi_0) trained on the weighted traces (step 7).

Reads PROBLEMS, FINAL_ROWS, the model BASE, the system prompt REASONER.
Writes the model FINAL, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
Where the params name a published model, that model is taken and nothing is trained.
"""

from pathlib import Path

from stages import _final_rows
from stages._run import Out, run
from stages._settings import params
from vr.settings.training import TrainFinal


def main(
    problems: Path, final_rows: Path, base: Path, reasoner: Path, final: Out, statistics: Out, curves: Out
) -> None:
    _final_rows.train(params(TrainFinal), problems, final_rows, base, reasoner, final, statistics, curves)


if __name__ == "__main__":
    run(main)
