"""The stage `problems` judges every question's own solution, and keeps each verdict beside its question."""

import logging

import polars as pl
import pytest
from tiny_models import RECIPE

from stages import problems as stage
from vr.renderers.markers import join_response
from vr.sources import problems
from vr.sources.loaded import COLUMNS, Loaded
from vr.tables import parquet, schemas

ROWS = [
    {"source": "a", "verifier": "math", "reference": "2", "solution": join_response("1+1=2", "\\boxed{2}")},
    {"source": "b", "verifier": "math", "reference": "3", "solution": join_response("1+1=2", "\\boxed{2}")},
    {"source": "a", "verifier": "none", "reference": None, "solution": join_response("1+1=2", "two")},
    {"source": "b", "verifier": "math", "reference": "4", "solution": join_response("2+2=4", "\\boxed{4}")},
    {"source": "b", "verifier": "math", "reference": "5", "solution": join_response("2+3=5", "\\boxed{5}")},
    {"source": "a", "verifier": "math", "reference": "6", "solution": join_response("3+3=6", "\\boxed{6}")},
]


@pytest.fixture
def made(tmp_path, monkeypatch, caplog):
    """The stage's folder and log after it has run on ROWS, with a row that is left out."""
    rows = [row | {"problem_id": f"q{index}", "question": f"{index}?"} for index, row in enumerate(ROWS)]
    dropped = {"source": "b", "source_row": "b/9", "reason": "does not split", "question": "9?"}
    loaded = Loaded(pl.DataFrame(rows, COLUMNS), pl.DataFrame([dropped]))
    monkeypatch.setitem(problems.SOURCES, "miniature", lambda _settings: loaded)
    (tmp_path / "params.yaml").write_text(RECIPE.read_text())
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        stage.main(tmp_path / "problems.parquet", tmp_path / "left_out.parquet")
    return tmp_path, caplog.messages


def test_each_verdict_stands_beside_its_question_and_is_counted_by_source(made):
    folder, messages = made
    table = parquet.read(folder / "problems.parquet", schemas.Problems)
    assert table.select("problem_id", "self_check").rows() == [
        ("q0", "correct"), ("q1", "wrong"), ("q2", "not_run"), ("q3", "correct"),
        ("q4", "correct"), ("q5", "correct"),
    ]  # fmt: skip
    assert "own solutions: 4 of 6 correct" in messages
    assert "own solutions of a: correct 2, not_run 1" in messages
    assert "own solutions of b: correct 2, wrong 1" in messages


def test_rows_that_are_no_question_are_kept_with_their_reason_and_counted(made):
    folder, messages = made
    left_out = parquet.read(folder / "left_out.parquet", schemas.LeftOut)
    assert left_out.rows() == [("b", "b/9", "does not split", "9?")]
    assert "1 rows left out: b 1" in messages
