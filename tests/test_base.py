"""The stage `base` meets a bad source or a full disk: one line, status 1, and no model."""

import os
import resource
from pathlib import Path

import pytest
from test_stages import PROBLEM, ROOT, run, save
from tiny_models import DAMAGED, damaged

from vr.tables import schemas

ARGUMENTS = ("problems.parquet", str(ROOT / "vr" / "recipes" / "prompts"), "models/base")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights cut at the end"])
def test_a_damaged_source_is_one_line_that_names_it(tiny_model: Path, tmp_path: Path, name: str) -> None:
    damaged(tiny_model, tmp_path / "source", name)
    error = run(tmp_path, "base", *ARGUMENTS, params={"source: miniature": "source: ./source"})
    assert error.startswith("base: error: base.source = './source': ") and error.count("\n") == 1
    assert DAMAGED[name][1] in error
    assert os.listdir(tmp_path / "models") == []


@pytest.mark.slow
def test_a_full_disk_is_one_line_that_names_the_model(tmp_path: Path) -> None:
    save(tmp_path / "problems.parquet", schemas.Problems, PROBLEM)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    error = run(tmp_path, "base", *ARGUMENTS, preexec_fn=limit)
    last = error.splitlines()[-1]
    assert last.startswith("base: error: models/base: cannot be written: ") and "Traceback" not in error
    assert os.listdir(tmp_path / "models") == []
