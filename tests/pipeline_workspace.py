"""A copy of the project with tiny parameters, in which the real pipeline runs, and what each command ran there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
from ruamel.yaml import YAML
from tiny_models import RECIPE, ROOT

from vr.tables import parquet

TINY = {
    "K": 2,
    "seeds": [0, 1],
    "problems": {"miniature": {"train": 64, "programs": 0.2, "slips": 0.1, "guesses": 0.3, "seed": 0}},
    "benchmark": {
        "miniature_dev": {"questions": 4, "programs": 0.2, "seed": 0},
        "miniature_test": {"questions": 8, "programs": 0.2, "seed": 0},
    },
    "base": {"hidden_size": 32, "layers": 2, "heads": 1},
    "training": {"epochs": 24, "batch_size": 16, "learning_rate": 0.01},
    "sample_traces": {"max_tokens": 48},
    "sample_answers": {"samples": 2, "max_tokens": 32},
    "evaluate": {"samples": {"miniature_dev": 2, "miniature_test": 2}, "max_tokens": 80},
    "report": {"bootstrap": 200},
}
MACHINE = "{shard_rows: 1, max_sequences: 4, score_tokens: 128}"
"""Small steps, so that a run can be caught in the middle."""


class Workspace:
    """A copy of the project, and the stages that each command ran in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str) -> str:
        """Run a command there; its output, or an assertion with it."""
        with self.start(*command) as process:
            output = process.communicate()[0]
        assert process.returncode == 0, output[-6000:]
        return output

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command there; what it writes goes to its stdout."""
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=os.environ | {"PATH": paths, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def table(self, name: str, schema: type) -> pl.DataFrame:
        return parquet.read(self.path / "data" / name, schema)

    def shards(self, work: str) -> list[Path]:
        """The shards that a stage has saved so far."""
        return list((self.path / ".work" / work).glob("*/**/*.parquet"))

    def caught_in_the_middle(self, process: subprocess.Popen[str], work: str, at_least: int = 2) -> None:
        """Wait until a stage has saved some shards; it is then still at work."""
        while len(self.shards(work)) < at_least:
            assert process.poll() is None, process.communicate()[0][-6000:]

    def lock(self) -> dict[str, dict]:
        """dvc.lock of both pipelines: what each stage last ran with."""
        yaml = YAML(typ="safe", pure=True)
        files = [self.path / "dvc.lock", self.path / "stages" / "dvc.lock"]
        return {name: stage for f in files if f.exists() for name, stage in yaml.load(f.read_text())["stages"].items()}

    def stages_run(self, *command: str) -> set[str]:
        """Run a DVC command; the stages that it says it ran."""
        output = self.run(*command)
        lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
        return {line.split("'")[1].removeprefix("stages/dvc.yaml:") for line in lines}


def make_workspace(path: Path) -> Workspace:
    """Copy the project as it is in the working tree, but for parameters and lock files, into a repository at `path`."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (ROOT / name).is_file() and not name.endswith("dvc.lock"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    yaml = YAML()
    document = yaml.load(RECIPE.read_text())
    for key, value in TINY.items():
        document[key].update(value) if isinstance(value, dict) else document.__setitem__(key, value)
    with (path / "params.yaml").open("w") as file:
        yaml.dump(document, file)
    (path / "machine.yaml").write_text(MACHINE)
    workspace = Workspace(path)
    workspace.run("git", "init", "-q")
    workspace.run("git", "config", "user.email", "test@example.org")
    workspace.run("git", "config", "user.name", "test")
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "-qm", "tiny")
    return workspace
