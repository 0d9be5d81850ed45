"""A baseline: the base model trained on the baseline's rows, in as many steps as the final model.

Reads PROBLEMS, ROWS, the model BASE, the system prompt REASONER.
Writes the model BASELINE, STATISTICS (what it was trained on, C among it) and CURVES (loss and gradient norm).
Where the params name a published model, that model is taken and nothing is trained.
"""

from pathlib import Path

from stages import _final_rows
from stages._run import Out, run
from stages._settings import params
from vr.settings.training import TrainBaseline


def main(problems: Path, rows: Path, base: Path, reasoner: Path, baseline: Out, statistics: Out, curves: Out) -> None:
    _final_rows.train(params(TrainBaseline), problems, rows, base, reasoner, baseline, statistics, curves)


if __name__ == "__main__":
    run(main)
