"""What the worker is told: whole steps of warm-up, checkpoints to resume from, DeepSpeed's files."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trainings import params

from vr.engines.training import job
from vr.engines.training.checkpoint import is_complete, mark_complete
from vr.engines.training.layout import lay_out
from vr.engines.training.training_set import TrainingSetStats
from vr.settings.machine import Machine


def test_warmup_is_in_whole_steps() -> None:
    def steps(ratio: float, total: int) -> int:
        return job.warmup_steps(params(warmup_ratio=ratio), total)

    assert [steps(0.1, 100), steps(0.05, 30), steps(0.0, 9), steps(1.0, 7)] == [10, 2, 0, 7]


def test_half_written_checkpoints_are_not_resumed_from(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-11"):
        (tmp_path / name).mkdir()
    for name in ("checkpoint-9", "checkpoint-10"):
        mark_complete(tmp_path / name)
    assert job.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-11").exists()
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name / "complete").unlink()
    assert job.last_checkpoint(tmp_path) is None
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: os.truncate(file, 5),
        lambda file: os.truncate(file, 0),
        lambda file: file.unlink(),
        lambda file: file.with_name("more").touch(),
        lambda file: os.truncate(file.parent.parent / "complete", 3),
        lambda file: os.truncate(file.parent.parent / "complete", 0),  # as an older version marked them
    ],
)
def test_a_checkpoint_whose_files_were_cut_after_it_was_marked_is_not_resumed_from(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for number in (3, 4):
        states = tmp_path / f"checkpoint-{number}" / "states"
        states.mkdir(parents=True)
        (states / "rank_0.pt").write_text("0123456789")
        mark_complete(states.parent)
        assert is_complete(states.parent)
    damage(tmp_path / "checkpoint-4" / "states" / "rank_0.pt")
    assert job.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
    assert not (tmp_path / "checkpoint-4").exists()


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_s_file_names_its_stage_and_leaves_the_batch_to_the_training(stage: int) -> None:
    config = json.loads(job.deepspeed_config(stage).read_text())
    assert config["zero_optimization"]["stage"] == stage
    assert config["train_batch_size"] == config["gradient_clipping"] == config["bf16"]["enabled"] == "auto"


def test_the_denominator_is_the_constant_normalizer_of_a_batch_or_left_to_each_step(tmp_path: Path) -> None:
    stats = TrainingSetStats(12, 4, 0, 90, 7.5, 0.5, 20)
    layout = lay_out(8, Machine(), 0, 1)
    for normalizer, denominator in {"constant": 7.5 * 8 * 0.5, "token_mean": None}.items():
        path = job.write(
            tmp_path, tmp_path, params(normalizer=normalizer), stats, layout, Machine(checkpoint_minutes=2)
        )
        content = json.loads(path.read_text())
        assert content["denominator"] == denominator
        assert content["checkpoint_s"] == 120
        assert content["arguments"]["logging_steps"] == 1  # every step is in the curves
        assert content["arguments"]["trust_remote_code"] is False
