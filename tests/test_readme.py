"""What the README shows of the project is what the project says of itself."""

import json
import re
import subprocess
import sys
from pathlib import Path

from vr.report import metrics

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def output(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_tables_are_those_that_the_schemas_declare():
    assert output("vr.tables") in README


def test_the_graph_is_the_one_that_dvc_draws():
    assert output("dvc", "dag", "--md", "--collapse-foreach-matrix") in README


def test_every_file_of_the_library_and_no_other_is_in_the_map():
    tree = README.split("## Where things are")[1].split("```")[1]
    named = set(re.findall(r"^  ([a-z_]+(?:\.py|/))", tree, re.MULTILINE))
    there = {p.name for p in (ROOT / "vr").glob("*.py")} - {"__init__.py"}
    there |= {f"{p.name}/" for p in (ROOT / "vr").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert named == there


def test_the_results_are_those_of_the_committed_metrics():
    # not the working tree's: a researcher's own run may have rewritten them
    command = ["git", "show", "HEAD:metrics.json"]
    committed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert metrics.table_text(json.loads(committed)) in README
