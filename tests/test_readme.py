"""What the README shows of the project is what the project says of itself."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from vr.report import results_table
from vr.settings.sources import Table
from vr.sources import table
from vr.sources.benchmarks import CATALOGUE

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
    table = (ROOT / "stages" / "README.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    named = {name.split("@")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    files = ("dvc.yaml", "stages/dvc.yaml")
    yaml = YAML(typ="safe", pure=True)
    assert named == {name for file in files for name in yaml.load((ROOT / file).read_text())["stages"]}


def test_the_results_are_those_of_the_committed_metrics() -> None:
    assert results_table.markdown(json.loads(committed("metrics.json"))) in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_link_into_the_project_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_row_of_ones_own_data_is_a_training_question(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(re.search(r"^# (\{.*\})$", README, re.MULTILINE).group(1))
    (row,) = table.load(Table(path=str(tmp_path / "mine.jsonl"), name="mine")).problems.iter_rows(named=True)
    assert (row["problem_id"], row["question"], row["reference"]) == ("mine/1", "What is 17+25?", "42")
    assert "17+25=42" in row["solution"] and "\\boxed{42}" in row["solution"]


def test_every_recipe_and_every_set_that_it_reads_is_in_the_recipes_readme() -> None:
    folder = ROOT / "vr" / "recipes"
    text = (folder / "README.md").read_text()
    assert [file.stem for file in folder.glob("*.yaml") if f"| `{file.stem}` |" not in text] == []
    assert [file.stem for file in folder.glob("machines/*.yaml") if f"`{file.stem}`" not in text] == []
    yaml = YAML(typ="safe", pure=True)
    documents = [yaml.load(file.read_text()) for file in folder.glob("*.yaml")]
    read = {entry.hub for entry in CATALOGUE.values()} | {document["base"]["source"] for document in documents}
    for document in documents:
        entries = (document["problems"][name] for name in document["problems"]["sources"])
        read |= {value for entry in entries for value in entry.values() if isinstance(value, str)}
    ids = {name for name in read if re.fullmatch(r"[\w-]+/[\w.-]+", name)}
    assert {name for name in ids if name.split("/")[1] not in text} == set()
