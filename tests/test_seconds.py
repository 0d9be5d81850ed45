"""Every stage that ends well adds a line to .work/seconds.jsonl: its name, its seconds and its peak memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_stages import PROBLEM, save

from vr.tables import schemas

ROOT = Path(__file__).parent.parent
PATHS = ("problems.parquet", "initial.parquet", "final.parquet")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "vr" / "recipes" / "miniature.yaml").read_bytes())
    save(tmp_path / "problems.parquet", schemas.Problems, PROBLEM)
    return tmp_path


def run(folder: Path, **environment: str) -> int:
    command = [sys.executable, "-m", "stages.subsets", *PATHS]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, check=False
    ).returncode


def lines(folder: Path) -> list[dict]:
    file = folder / ".work" / "seconds.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_stage_that_ended_is_recorded_under_its_name_in_dvc(project: Path) -> None:
    began = time.monotonic()
    assert run(project) == 0
    took = time.monotonic() - began
    assert run(project, DVC_STAGE="stages/dvc.yaml:subsets@a-0") == 0
    first, second = lines(project)
    assert (first["stage"], second["stage"]) == ("subsets", "subsets@a-0")
    assert 0 < first["seconds"] <= took + 1  # the kernel tells when it booted to a second
    assert 20 < first["peak_mib"] < 2000


def test_a_stage_that_failed_is_not_recorded(project: Path) -> None:
    (project / "problems.parquet").write_bytes(b"no table")
    assert run(project) == 1
    assert lines(project) == []


def test_a_record_that_cannot_be_written_does_not_fail_the_stage(project: Path) -> None:
    (project / ".work").write_text("a file where the folder should be")
    assert run(project) == 0
    assert (project / "final.parquet").exists()
