"""dvc.yaml says what each stage really depends on: its imports and its parameters, no more and no less."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from vr.execution import code
from vr.settings import params, training

ROOT = Path(__file__).parent.parent
# Every stage uses these, and they have no say in what is computed (DVC itself tracks the values of parameters).
PLUMBING = (
    *("stages/__init__.py", "stages/_run.py", "stages/_settings.py"),
    *("vr/__init__.py", "vr/settings/", "vr/execution/", "vr/engines/__init__.py"),
    *("vr/method/__init__.py", "vr/sources/__init__.py"),
)
MODULES = {"vr.settings.params": params, "vr.settings.training": training}
FILES = ("dvc.yaml", "stages/dvc.yaml")
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for file in FILES
    for name, stage in YAML(typ="safe", pure=True).load((ROOT / file).read_text())["stages"].items()
}


def script_of(stage: dict[str, Any]) -> Path:
    return ROOT / "stages" / f"{stage['cmd'].split()[2].removeprefix('stages.')}.py"


def reached(script: Path) -> set[str]:
    """Files that a stage's script reads as code and that have a say in its outputs."""
    files = {file.relative_to(ROOT).as_posix() for file in code.reached(script)}
    return {file for file in files if not file.startswith(PLUMBING)}


def covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_that_it_reaches_and_on_no_other(name: str) -> None:
    stage = STAGES[name]
    deps = [dep for dep in stage["deps"] if dep.startswith(("vr/", "stages/"))]
    files = reached(script_of(stage))
    assert [file for file in sorted(files) if not any(covers(dep, file) for dep in deps)] == []
    assert [dep for dep in deps if not any(covers(dep, file) for file in files)] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_params_that_it_reads_and_on_no_other(name: str) -> None:
    stage = STAGES[name]
    classes = [
        getattr(MODULES[node.module], alias.name)
        for node in ast.walk(ast.parse(script_of(stage).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in MODULES
        for alias in node.names
    ]
    needed = {key for cls in classes for key in cls.keys(*ITEMS_NAME_ENTRIES.get(name, ()))}
    if name == "report":  # of `evaluate` it reads only what was evaluated
        needed = {"report", "evaluate.models", "evaluate.benchmarks"}
    assert set(stage.get("params", [])) == needed


ITEMS_NAME_ENTRIES = {
    "benchmark": ("${item.benchmark}",),
    "evaluate": ("${item.benchmark}",),
    "published": ("${key}",),
}
"""Stages whose item is the name of an entry of params.yaml."""


@pytest.mark.parametrize("name", STAGES)
def test_every_path_of_a_command_is_declared(name: str) -> None:
    stage = STAGES[name]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"] + stage.get("metrics", [])]
    declared = {*stage["deps"], *outs}
    for argument in stage["cmd"].split()[3:]:
        folder_of = any(path.startswith(f"{argument}/") for path in declared)
        assert argument in declared or folder_of, argument


def test_nothing_of_the_machine_is_in_the_pipeline() -> None:
    text = "".join((ROOT / file).read_text() for file in FILES)
    assert "machine.yaml" not in text
    assert "vr/settings" not in text


def test_a_stage_its_script_and_its_section_of_params_share_one_name() -> None:
    scripts = {file.stem for file in (ROOT / "stages").glob("[a-z]*.py")} - {"reproduce"}
    assert scripts == set(STAGES)
    assert all(script_of(stage).stem == name for name, stage in STAGES.items())
    assert {cls.section for cls in params.Params.sections() if cls.section} <= set(STAGES) | {"training"}
