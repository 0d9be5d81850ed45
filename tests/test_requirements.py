"""The locks in requirements/ name one version of each package and the hashes of its files, and agree with each other.

Does not cover: that the hashes are those of the published files, which every installation checks.
"""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LOCKS = sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
PINNED_WITH_HASHES = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")


def requirements(lock: str) -> list[str]:
    """The requirements of a lock, each in one line, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", (REQUIREMENTS / lock).read_text())
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def versions(lock: str) -> dict[str, str]:
    matches = map(PINNED_WITH_HASHES.fullmatch, requirements(lock))
    return {match["name"]: match["version"] for match in matches if match}


def applies(need: Requirement) -> bool:
    return need.marker is None or need.marker.evaluate({"extra": ""})


def test_there_is_a_lock_for_each_list_of_requirements() -> None:
    assert set(LOCKS) == {path.with_suffix(".txt").name for path in REQUIREMENTS.glob("*.in")}
    assert {"cpu.txt", "gpu.txt", "test.txt"} <= set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_of_a_lock_has_one_version_and_the_hashes_of_its_files(lock: str) -> None:
    assert requirements(lock) != []
    assert [line for line in requirements(lock) if not PINNED_WITH_HASHES.fullmatch(line)] == []


@pytest.mark.parametrize("other", ["cpu.txt", "gpu.txt"])
def test_what_the_tests_need_has_the_versions_that_are_installed_already(other: str) -> None:
    installed = versions(other)
    both = {name: version for name, version in versions("test.txt").items() if name in installed}
    assert both["pydantic"] == installed["pydantic"]
    assert both == {name: installed[name] for name in both}


def test_torch_for_cpus_has_the_version_of_pyproject_and_a_hash_for_each_python_and_processor() -> None:
    dependencies = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    (torch,) = requirements("torch-cpu.txt")
    assert torch.split("+cpu ")[0] in dependencies
    assert torch.count("--hash=") >= len(["3.11", "3.12", "3.13"]) * len(["x86_64", "aarch64"])


def test_what_torch_needs_is_installed_though_the_lock_for_cpus_was_compiled_without_torch() -> None:
    needed = [need for need in map(Requirement, metadata.requires("torch") or []) if applies(need)]
    assert "sympy" in {need.name for need in needed}
    assert [str(need) for need in needed if not need.specifier.contains(metadata.version(need.name))] == []
