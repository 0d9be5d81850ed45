"""What stands round a training: the interrupted run and its rows, curves and statistics, a missing base."""

import json
import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny_models import DAMAGED, damaged
from trainings import params

from vr.engines.training import trainer
from vr.engines.training.training_set import TrainingSetStats
from vr.renderers.example import Example
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine


def trained(rows: Iterator[WeightedExample], base: Path, root: Path, **changes: Any) -> trainer.Training:
    """A training of `base` to `root/out`."""
    return trainer.train(
        rows,
        base,
        root / "out",
        params=params(**changes),
        rows_per_question=1,
        machine=Machine(),
        work_root=root / "work",
    )


def test_missing_base_model_is_named_before_any_row_is_read(tmp_path: Path) -> None:
    def rows() -> Iterator[WeightedExample]:
        pytest.fail("rows were read")
        yield

    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        trained(rows(), tmp_path / "nowhere", tmp_path)
    assert not list(tmp_path.iterdir())


def test_bf16_on_a_processor_without_it_is_slow_and_not_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for has, warnings in ((True, []), (False, ["out: this processor has no instructions for bf16: fp32 is faster"])):
        monkeypatch.setattr(trainer, "has_bf16", lambda has=has: has)
        caplog.clear()
        with pytest.raises(ValueError, match="no rows"):
            trained(iter([]), tiny_model, tmp_path, precision="bf16")
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == warnings


@pytest.mark.parametrize("name", ["weights cut at the end", "half a config", "a pickle alone", "no tokenizer"])
def test_a_damaged_base_is_refused_before_any_row_is_read(tiny_model: Path, tmp_path: Path, name: str) -> None:
    def rows() -> Iterator[WeightedExample]:
        pytest.fail("rows were read")
        yield

    base = damaged(tiny_model, tmp_path / "base", name)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(DAMAGED[name][1])):
        trained(rows(), base, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


@pytest.mark.parametrize(
    ("ids", "weight", "words"),
    [
        ([1, 2, 311], 1.0, "row 1 to train on: token id 311, but the model has 311"),
        ([1, 2, 3], -0.5, "row 1 to train on: weight -0.5 is not a number >= 0"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_named_before_the_training(
    tiny_model: Path, tmp_path: Path, ids: list[int], weight: float, words: str
) -> None:
    good = WeightedExample(Example([1, 2, 310], 1, (1, 3)), 1.0)
    with pytest.raises(ValueError, match=words):
        trained(iter([good, WeightedExample(Example(ids, 1, (1, 3)), weight)]), tiny_model, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_finished_run_whose_files_were_cut_is_trained_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(job: Path, *_: object) -> None:
        run = job.parent / "run"
        run.mkdir(exist_ok=True)
        shutil.copyfile(tiny_model / "model.safetensors", run / "model.safetensors")
        (run / "trainer_state.json").write_text('{"log_history": []}')
        launched.append(run)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    launched: list[Path] = []
    rows = [WeightedExample(Example([1, 2, 3], 1, (1, 3)), 1.0)]
    monkeypatch.setattr(trainer, "launch", stand_in)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(trainer, "publish", stopped)
        for _ in range(2):  # the second goes on where the training has ended
            with pytest.raises(KeyboardInterrupt):
                trained(iter(rows), tiny_model, tmp_path)
    assert len(launched) == 1
    os.truncate(launched[0] / "trainer_state.json", 0)  # as a power cut may
    trained(iter(rows), tiny_model, tmp_path)
    assert len(launched) == 2
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()


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


def test_curves_that_do_not_fit_on_the_disk_are_one_line_that_names_them(tmp_path: Path) -> None:
    result = trainer.Training(TrainingSetStats(3, 1, 0, 9, 3.5, 1.0, 7), pl.DataFrame({"loss": [1.0] * 9}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, limits[1]))
    try:
        with pytest.raises(OSError, match=r"stats\.csv: cannot be written: .*too large"):
            result.write(tmp_path / "stats.csv", tmp_path / "curves.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


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
