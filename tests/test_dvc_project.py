"""What DVC makes of this project's settings, on a toy project: machine.yaml in experiments, links to the cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DVC = Path(sys.executable).with_name("dvc")
THREADS = "from stages._settings import machine; print(machine().threads)"
DVC_YAML = f"""
stages:
  threads:
    cmd: python -c "{THREADS}" > $SEEN && touch out
    params: [seed]
    outs: [out]
  model:
    cmd: mkdir model && head -c 1000000 /dev/zero > model/weights
    outs: [model]
"""
FILES = {"dvc.yaml": DVC_YAML, "params.yaml": "seed: 0\n", ".gitignore": "/out\n/model\n/machine.yaml\n"}

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed toy project with this project's .dvc/config, and an untracked machine.yaml that says `threads: 3`."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    run(folder, "git", "init", "--quiet")
    run(folder, DVC, "init", "--quiet")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc")
    run(folder, "git", "add", "--all")
    run(folder, *git, "commit", "--quiet", "--message", "toy")
    (folder / "machine.yaml").write_text("threads: 3\n")
    return folder


def run(project: Path, *command: str | Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    env |= {"PYTHONPATH": str(ROOT), "PATH": f"{DVC.parent}:{env['PATH']}", "SEEN": str(project.parent / "seen")}
    subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)


@pytest.mark.parametrize("way", ["repro", "exp run", "exp run --temp", "exp run --queue"])
def test_a_stage_finds_machine_yaml_however_dvc_runs_it(project, way):
    changes = ["--set-param", "seed=1"] if way.startswith("exp") else []
    run(project, DVC, *way.split(), *changes, "threads")
    if way == "exp run --queue":
        assert not (project.parent / "seen").exists()
        run(project, DVC, "exp", "run", "--run-all", "--jobs", "1")
    assert (project.parent / "seen").read_text() == "3\n"


def test_a_model_stands_on_disk_once_as_a_read_only_link_to_the_cache(project):
    run(project, DVC, "repro", "model")
    weights = (project / "model" / "weights").stat()
    (cached,) = (file for file in (project / ".dvc" / "cache").rglob("*") if file.stat().st_size == weights.st_size)
    assert cached.stat().st_ino == weights.st_ino
    assert weights.st_mode & 0o222 == 0
