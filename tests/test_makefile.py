"""The Makefile finds a Python or says in one line that there is none; CONTRIBUTING.md names files that exist.

Does not cover: the installation itself, which every run of the tests through `make` needs first.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("make", "sh", "bash", "touch")
FITS = "#!/bin/sh\nexit 0\n"
DOES_NOT_FIT = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder without an environment, and beside it a folder `bin` with make, a shell and no Python."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    shutil.copytree(ROOT / "requirements", tmp_path / "clone/requirements")
    shutil.copy(ROOT / "Makefile", tmp_path / "clone")
    return tmp_path / "clone"


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHON" and not name.startswith("MAKE")}
    environment = inherited | {"PATH": str(clone.parent / "bin")}
    return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True)


def add_python(clone: Path, name: str, program: str) -> None:
    path = clone.parent / "bin" / name
    path.write_text(program)
    path.chmod(0o755)


def test_without_a_python_one_line_says_so_and_what_to_install(clone: Path) -> None:
    done = make(clone, "test")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no Python 3.11, 3.12 or 3.13" in done.stderr
    assert "apt install python3-venv" in done.stderr


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3"])
def test_the_only_python_that_fits_makes_the_environment(clone: Path, name: str) -> None:
    add_python(clone, name, FITS)
    assert f"{name} -m venv .venv" in make(clone, "--dry-run", "test").stdout


def test_a_python_that_does_not_fit_is_passed_over(clone: Path) -> None:
    add_python(clone, "python3.11", DOES_NOT_FIT)
    add_python(clone, "python3.13", FITS)
    assert "python3.13 -m venv .venv" in make(clone, "--dry-run", "test").stdout


def test_a_named_python_is_taken_unasked(clone: Path) -> None:
    add_python(clone, "python3.11", FITS)
    assert "/opt/python -m venv .venv" in make(clone, "--dry-run", "test", "PYTHON=/opt/python").stdout


def test_contributing_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:vr|stages|tests)/[\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert "vr/verify/registry.py" in named
    assert {name for name in named if not (ROOT / name).exists()} == set()
