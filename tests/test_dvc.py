"""dvc.yaml says what each stage really depends on: its imports and its params, no more and no less."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from vr.settings import params

ROOT = Path(__file__).parent.parent
# Used by every stage, with no say in what is computed (params' values are tracked by DVC themselves).
PLUMBING = {"stages/__init__.py", "vr/__init__.py", "vr/machine.py", "vr/params.py", "vr/work.py"}
FILES = ("dvc.yaml", "stages/dvc.yaml")
STAGES = {
    name: stage
    for file in FILES
    for name, stage in YAML(typ="safe", pure=True).load((ROOT / file).read_text())["stages"].items()
}


def imported(file: Path) -> set[Path]:
    """Project files that a file imports, lazily or not, as a module or for a name in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    paths = {ROOT / name.replace(".", "/") for name in names if name.split(".")[0] in ("vr", "stages")}
    return {p for path in paths for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()}


def reached(start: Path) -> set[str]:
    """Every project file that running a script reads as code."""
    seen: set[Path] = set()
    todo = {start}
    while todo:
        file = todo.pop()
        seen.add(file)
        more = imported(file)
        if file.name == "training.py":  # started as a process of its own
            more.add(file.with_name("training_worker.py"))
        todo |= more - seen
    return {str(file.relative_to(ROOT)) for file in seen} - PLUMBING


def script_of(stage: dict[str, Any]) -> Path:
    return ROOT / "stages" / f"{stage['cmd'].split()[2].removeprefix('stages.')}.py"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_code_that_it_reaches(name):
    stage = STAGES[name]
    code = {dep for dep in stage["deps"] if dep.startswith(("vr/", "stages/"))}
    needed = {"vr/verify" if file.startswith("vr/verify/") else file for file in reached(script_of(stage))}
    assert code == needed


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_params_that_it_reads(name):
    stage = STAGES[name]
    classes = [
        getattr(params, alias.name)
        for node in ast.walk(ast.parse(script_of(stage).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "vr.params"
        for alias in node.names
    ]
    needed = {key for c in classes for key in (*c.shared, c.section)}
    declared = {entry.split(".")[0] for entry in stage.get("params", [])}
    assert declared == needed


@pytest.mark.parametrize("name", STAGES)
def test_every_path_of_a_command_is_declared(name):
    stage = STAGES[name]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"] + stage.get("metrics", [])]
    declared = {*stage["deps"], *outs}
    for argument in stage["cmd"].split()[3:]:
        folder_of = any(path.startswith(f"{argument}/") for path in declared)
        assert argument in declared or folder_of, argument


def test_nothing_of_the_machine_is_in_the_pipeline():
    text = "".join((ROOT / file).read_text() for file in FILES)
    assert "machine.yaml" not in text
    assert "vr/machine.py" not in text


def test_every_script_is_a_stage_of_its_name():
    scripts = {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__", "__main__"}
    assert scripts == {script_of(stage).stem for stage in STAGES.values()}
