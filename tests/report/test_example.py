"""The example shows what the weights did to one question."""

import sys
from pathlib import Path

import polars as pl
import pytest

from vr.report import example


def test_the_first_question_that_the_weights_decide_is_shown_with_its_traces() -> None:
    problems = pl.DataFrame({"problem_id": ["a", "b"], "question": ["1+1?", "2+2?"], "reference": ["2", "4"]})
    traces = pl.DataFrame(
        {
            "problem_id": ["a", "a", "a", "b", "b", "b"],
            "seed": [0, 1, 2, 0, 1, 2],
            "text": ["p", "q", "r", "2+2=4", "line\n\nother", "x" * 200],
        }
    )
    weights = traces.select("problem_id", "seed").with_columns(
        weight=pl.Series([1.0, 0.0, 0.0, 0.75, 0.25, 0.0]),
        chosen=pl.Series([True, False, False, True, False, False]),
        log_ratio=pl.Series([0.0, 0.0, 0.0, 0.125, -0.5, None], dtype=pl.Float64),
        log_likelihood=pl.Series([0.0, None, None, -0.25, 0.0, None], dtype=pl.Float64),
        reason=pl.Series(["", "none_correct", "none_correct", "", "", "truncated"]),
    )
    assert example.question_text(problems, traces, weights) == "\n".join(
        [
            "2+2? (answer: 4)",
            "* seed 0  weight 0.750   log ratio +0.125, log likelihood -0.250",
            "      2+2=4",
            "  seed 1  weight 0.250   log ratio -0.500, log likelihood +0.000",
            "      line",
            "      other",
            "  seed 2  weight 0.000   truncated",
            "      " + "x" * 100,
        ]
    )


def test_what_a_model_wrote_reaches_the_terminal_without_control_characters() -> None:
    problems = pl.DataFrame({"problem_id": ["a"], "question": ["1\x1b[2J?\nplease"], "reference": ["\x07"]})
    traces = pl.DataFrame({"problem_id": ["a"], "seed": [0], "text": ["\x1b]0;evil\x07" + "\x1b" * 200]})
    weights = traces.select("problem_id", "seed").with_columns(
        weight=1.0, chosen=True, log_ratio=0.0, log_likelihood=0.0, reason=pl.lit("")
    )
    shown = example.question_text(problems, traces, weights)
    assert shown.replace("\n", "").isprintable()
    assert shown.startswith("1\\x1b[2J?\nplease (answer: \\x07)\n* seed 0")
    assert len(shown.splitlines()[-1]) == 106


def test_a_missing_table_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example", *[str(tmp_path / name) for name in ("problems", "traces", "weights")]])
    with pytest.raises(SystemExit, match=r"^error: .*/weights: no such table \(weights\)$"):
        example.main()


def test_where_the_weights_decide_nothing_the_first_question_is_shown() -> None:
    problems = pl.DataFrame(
        {"problem_id": ["a"], "question": ["f?"], "reference": [None]},
        {"problem_id": pl.String, "question": pl.String, "reference": pl.String},
    )
    traces = pl.DataFrame({"problem_id": ["a"], "seed": [0], "text": ["p"]})
    weights = traces.select("problem_id", "seed").with_columns(
        weight=1.0, chosen=True, log_ratio=0.0, log_likelihood=0.0, reason=pl.lit("")
    )
    assert example.question_text(problems, traces, weights).startswith("f?\n* seed 0  weight 1.000")
