"""What stands round a training: the interrupted run and its rows, curves and statistics, a missing base."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from trainings import params

from vr.engines.training import trainer
from vr.engines.training.training_set import TrainingSetStats
from vr.renderers.example import Example
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine


def test_missing_base_model_is_named_before_any_row_is_read(tmp_path: Path) -> None:
    def rows() -> Iterator[WeightedExample]:
        pytest.fail("rows were read")
        yield

    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        trainer.train(
            rows(),
            tmp_path / "nowhere",
            tmp_path / "out",
            params=params(),
            rows_per_question=1,
            machine=Machine(),
            work_root=tmp_path / "work",
        )
    assert not list(tmp_path.iterdir())


def test_rows_of_another_set_end_an_interrupted_run(tmp_path: Path) -> None:
    def prepare(ids: list[int], trained_from: int = 1, weight: float = 1.0) -> None:
        row = WeightedExample(Example(ids, trained_from, (1, len(ids))), weight)
        trainer._prepare_rows([row], tmp_path, cutoff_len=9, multiple_of=2, vocabulary=9)

    def is_kept() -> bool:
        kept = (tmp_path / "run").exists()
        (tmp_path / "run").mkdir(exist_ok=True)
        return kept

    prepare([1, 2, 3])
    assert not is_kept()
    prepare([1, 2, 3])
    assert is_kept()
    prepare([1, 2, 4])
    assert not is_kept()
    prepare([1, 2, 4], trained_from=2)
    assert not is_kept()
    prepare([1, 2, 4], trained_from=2, weight=0.5)
    assert not is_kept()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows", "run"]


def test_curves_and_statistics_are_written_as_csv(tmp_path: Path) -> None:
    history = [
        {"loss": 2.0, "grad_norm": 1.5, "learning_rate": 0.1, "epoch": 0.5, "step": 1},
        {"loss": 1.0, "grad_norm": 1.0, "learning_rate": 0.0, "epoch": 1.0, "step": 2},
        {"train_runtime": 3.0, "train_loss": 1.5, "epoch": 1.0, "step": 2},
    ]
    (tmp_path / "state.json").write_text(json.dumps({"log_history": history}))
    result = trainer.Training(TrainingSetStats(3, 1, 0, 9, 3.5, 1.0, 7), trainer.curves(tmp_path / "state.json"))
    result.write(tmp_path / "new" / "stats.csv", tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        "step,epoch,loss,grad_norm,learning_rate",
        "1,0.5,2.0,1.5,0.1",
        "2,1.0,1.0,1.0,0.0",
    ]
    assert pl.read_csv(tmp_path / "new" / "stats.csv")["normalizer_tokens"].to_list() == [3.5]
