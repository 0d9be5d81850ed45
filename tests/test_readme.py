"""What the README shows of the project is what the project says of itself."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from vr.report import results_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def committed(file: str) -> str:
    """A file of the last commit: a researcher's own run may have rewritten the working tree's."""
    command = ["git", "show", f"HEAD:{file}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_readme_is_a_front_door() -> None:
    assert len(README.splitlines()) <= 160


def test_every_room_of_the_library_and_no_other_is_in_the_map() -> None:
    tree = README.split("## Where things are")[1].split("```")[1]
    named = set(re.findall(r"^  ([a-z_]+)/ ", tree, re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "vr").glob("*/__init__.py")} | {"recipes"}


def test_every_stage_is_in_the_table_of_stages() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", README, re.MULTILINE)
    named = {name.split("@")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    files = ("dvc.yaml", "stages/dvc.yaml")
    yaml = YAML(typ="safe", pure=True)
    assert named == {name for file in files for name in yaml.load((ROOT / file).read_text())["stages"]}


def test_the_results_are_those_of_the_committed_metrics() -> None:
    assert results_table.markdown(json.loads(committed("metrics.json"))) in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_link_into_the_project_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
