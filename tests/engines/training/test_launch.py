"""Processes of a training: the first that fails is told of and ends the others; none outlives its parent."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vr.engines.training import launch
from vr.engines.training.layout import lay_out
from vr.settings.machine import Machine


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let every rank run `program` instead of the worker; it finds its number as `rank`."""
    program = f"import os, sys, time\nrank = int(os.environ['RANK'])\n{program}"

    def start(_: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    monkeypatch.setattr(launch, "_start", start)


def launched(tmp_path: Path, ranks: int = 2) -> None:
    layout = lay_out(8, Machine(train_ranks=ranks), 0, 1)
    launch.launch(tmp_path / "job.json", layout, 1)


def ranks_alive() -> list[psutil.Process]:
    """Processes that were started as this module's stand-in for a rank, by their command line."""
    return [child for child in psutil.Process().children(recursive=True) if "RANK" in str(child.cmdline())]


def test_a_failing_worker_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)exit status 1.*FileNotFoundError.*job\.json"):
        launched(tmp_path, ranks=1)


def test_a_failure_names_the_checkpoint_from_which_the_next_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "sys.exit('PytorchStreamReader failed')")
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=r"Reader failed\nThe next run resumes from .*/run/checkpoint-7: remove"):
        launched(tmp_path, ranks=1)


def test_what_ranks_write_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, "print(f'rank {rank} of {os.environ[\"WORLD_SIZE\"]} né', end='')")
    launched(tmp_path)
    written = capfd.readouterr().err
    assert "rank 0 of 2 né" in written and "rank 1 of 2 né" in written


def test_the_rank_that_failed_first_is_named_and_the_others_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_GRACE_S", 0.5)
    stand_in(monkeypatch, "time.sleep(600) if rank == 0 else sys.exit('rank 1 has enough')")
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"(?s)exit status 1\).*\nrank 1 has enough"):
        launched(tmp_path)
    assert time.monotonic() - began < 30
    assert ranks_alive() == []


def test_a_rank_that_is_killed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "os.kill(os.getpid(), 9)")
    with pytest.raises(RuntimeError, match="exit status -9"):
        launched(tmp_path, ranks=1)


def test_ranks_end_when_starting_or_watching_them_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    stand_in(monkeypatch, "time.sleep(600)")
    monkeypatch.setattr(launch, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launched(tmp_path)
    assert ranks_alive() == []
