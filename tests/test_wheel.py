"""The wheel that pyproject.toml builds: it holds every file of vr, and all of its modules import without the checkout.

Does not cover: the installation of what it depends on, which the locks in requirements/ do.
"""

import ast
import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("vr", "stages")
# Prints each module's file; a module that does not import ends the program.
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    print(package.__file__)
    for module in pkgutil.walk_packages(package.__path__, name + ".", onerror=lambda failed: sys.exit(failed)):
        print(importlib.import_module(module.name).__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed, and nothing else."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    for name in PACKAGES:  # the build writes beside what it builds
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, source, cwd=source)
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", target, *wheels.glob("*.whl"), cwd=wheels)
    return target


def run(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """What this Python prints for the arguments; the test fails with its errors if its exit status is not 0."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the top-level packages that a module's code imports, at any depth of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.slow
def test_wheel_holds_every_file_of_vr_and_every_module_of_stages(installed: Path) -> None:
    assert files(installed / "vr") == files(ROOT / "vr")
    assert files(installed / "stages") == {path for path in files(ROOT / "stages") if path.suffix == ".py"}


@pytest.mark.slow
def test_every_module_of_the_wheel_imports_where_the_checkout_is_not_found(installed: Path, tmp_path: Path) -> None:
    printed = run("-c", IMPORT_ALL, *PACKAGES, cwd=tmp_path, PYTHONPATH=str(installed))
    modules = {Path(line) for line in printed.splitlines() if line.endswith(".py")}
    assert modules == {installed / path for path in files(installed) if path.suffix == ".py"}


@pytest.mark.slow
def test_wheel_names_its_licence_and_its_pythons(installed: Path) -> None:
    (metadata,) = installed.glob("vr-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    assert "License-Expression: Apache-2.0" in lines
    assert "Requires-Python: <3.14,>=3.11" in lines


def test_every_package_that_the_code_imports_is_among_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    declared = {canonicalize_name(Requirement(line).name) for line in wanted}
    trees = (ast.parse(path.read_text()) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    names = {name for tree in trees for name in imported(tree)} - set(sys.stdlib_module_names) - set(PACKAGES)
    origins = packages_distributions()
    assert {name for name in names if declared.isdisjoint(map(canonicalize_name, origins.get(name, [name])))} == set()
