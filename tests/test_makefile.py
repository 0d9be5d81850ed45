"""The Makefile finds a Python or says in one line that there is none, and installs what the locks name and no other
file; CONTRIBUTING.md names files that exist.

Does not cover: the whole installation, which every run of the tests through `make` needs first; `make locks`, which
needs the package indexes.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
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


def make(clone: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PIP_"))}
    inherited.pop("PYTHON", None)
    environment = inherited | {"PATH": str(clone.parent / "bin")} | variables
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


def installations(clone: Path, target: str) -> list[str]:
    """The commands by which `make` would install something, in order."""
    add_python(clone, "python3.11", FITS)
    return [line for line in make(clone, "--dry-run", target).stdout.splitlines() if "install " in line]


def test_every_installation_checks_hashes_and_fetches_nothing_unchecked_to_build_with(clone: Path) -> None:
    for hardware in ("cpu", "gpu"):
        commands = installations(clone, f".venv/installed-{hardware}") + installations(clone, ".venv/installed-test")
        assert any(f"requirements/{hardware}.txt" in command for command in commands)
        assert all({"--require-hashes", "--no-build-isolation"} <= set(command.split()) for command in commands)


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_what_packages_are_built_with_is_installed_before_them(clone: Path, hardware: str) -> None:
    build, rest, *_ = installations(clone, f".venv/installed-{hardware}")
    assert build.endswith("-r requirements/build.txt")
    assert rest.endswith(f"-r requirements/{hardware}.txt")


def test_torch_for_cpus_is_asked_of_its_own_index_too(clone: Path) -> None:
    torch = installations(clone, ".venv/installed-cpu")[-1]
    assert "--extra-index-url https://download.pytorch.org/whl/cpu -r requirements/torch-cpu.txt" in torch


def test_make_locks_renews_every_lock(clone: Path) -> None:
    add_python(clone, "python3.11", FITS)
    renewed = re.findall(r"-o requirements/([\w-]+\.txt)", make(clone, "--dry-run", "locks").stdout)
    assert set(renewed) == {path.with_suffix(".txt").name for path in (ROOT / "requirements").glob("*.in")}


def add_environment(clone: Path) -> dict[str, str]:
    """Add an environment whose Python is the tests' own. Return the variables by which pip stays within the clone."""
    python = clone / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    folders = {"PIP_FIND_LINKS": str(clone), "PIP_TARGET": str(clone / "packages")}
    return folders | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def add_wheel(folder: Path) -> str:
    """Write the wheel of a package `tiny` that holds nothing. Return its hash."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_package_whose_hash_is_in_the_lock_is_installed(clone: Path) -> None:
    environment = add_environment(clone)
    (clone / "requirements/tiny.txt").write_text(f"tiny==1.0 --hash=sha256:{add_wheel(clone)}\n")
    assert make(clone, ".venv/installed-tiny", **environment).returncode == 0
    assert (clone / "packages/tiny-1.0.dist-info").exists()


@pytest.mark.parametrize(
    ("hashes", "message"),
    [(f" --hash=sha256:{'0' * 64}", "DO NOT MATCH THE HASHES"), ("", "Hashes are required")],
    ids=["of another file", "none"],
)
def test_a_package_whose_hash_is_not_in_the_lock_is_refused(clone: Path, hashes: str, message: str) -> None:
    environment = add_environment(clone)
    add_wheel(clone)
    (clone / "requirements/tiny.txt").write_text(f"tiny==1.0{hashes}\n")
    done = make(clone, ".venv/installed-tiny", **environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (clone / "packages/tiny-1.0.dist-info").exists()
    assert not (clone / ".venv/installed-tiny").exists()


def test_contributing_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:vr|stages|tests)/[\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert "vr/verify/registry.py" in named
    assert {name for name in named if not (ROOT / name).exists()} == set()
