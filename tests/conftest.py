"""What all tests share: the order of files, and the tiny models (tests/tiny_models.py)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pipeline_workspace import Workspace, make_workspace
from tiny_models import MARKERS, make_model

# Generated examples are the same in every run, and a slow machine makes no test fail.
settings.register_profile("steady", deadline=None, database=None, derandomize=True)
settings.load_profile("steady")

FIRST = (
    *("test_pipeline.py", "test_smollm2.py", "test_interruption.py", "test_pipeline_variants.py"),
    *("test_reproduce.py", "test_published.py", "test_recipes.py", "test_sandbox.py", "test_program_limits.py"),
    "test_benchmarks_evaluated.py",
)
"""The longest files: they start first, so that the processes which share the tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model directories by kind of marker: `special` and `text`."""
    root = tmp_path_factory.mktemp("models")
    return {kind: make_model(root / kind, kind) for kind in MARKERS}


@pytest.fixture(scope="session")
def tiny_model(tiny_models: dict[str, Path]) -> Path:
    """The tiny model whose markers are single special tokens."""
    return tiny_models["special"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A copy of the project in which the tests of a file run the real pipeline, one after another."""
    path = tmp_path_factory.mktemp("pipeline") / "vr"
    yield make_workspace(path)
    shutil.rmtree(path)
