"""The headline numbers, the details, and the printed table."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from vr.method.contamination import Overlap
from vr.report import metrics, results_table
from vr.report.__main__ import main
from vr.settings.params import Report

RIGHT, WRONG = "correct", "wrong"


def settings(*pass_at: int) -> Report:
    return Report(pass_at=list(pass_at), bootstrap=200, seed=0)


def evals(outcomes: dict[str, list[str]], verifier: str = "math", judged: str = "solution") -> pl.DataFrame:
    """schemas.Evals of one model on one benchmark, by question."""
    return pl.DataFrame(
        [
            {"problem_id": q, "verifier": verifier, "sample": i, "outcome": o, "response_tokens": 9,
             "judged": judged, "finish": "marker"}
            for q, of_question in outcomes.items()
            for i, o in enumerate(of_question)
        ]
    )  # fmt: skip


def test_headlines_hold_each_model_of_each_benchmark_and_the_gain():
    initial = pl.concat([evals({"a": [RIGHT, WRONG]}), evals({"p": [WRONG, WRONG]}, "call")])
    final = pl.concat([evals({"a": [RIGHT, RIGHT]}), evals({"p": [RIGHT, WRONG]}, "call")])
    of = {("initial", "b"): initial, ("final", "b"): final, ("other", "c"): initial}
    found = metrics.headlines(of, settings(1, 2, 4))
    assert found["b"]["initial"]["avg_at_n"] == 0.25
    assert found["b"]["final"]["avg_at_n"] == 0.75
    assert found["b"]["final"]["pass_at_k"] == {"1": 0.75, "2": 1.0}  # k = 4 is more than n = 2
    assert found["b"]["final_minus_initial"]["avg_at_n"] == 0.5
    assert list(found["c"]) == ["other"]
    assert set(found["c"]["other"]) == {"avg_at_n", "ci_low", "ci_high", "n", "questions", "pass_at_k"}


def test_the_gain_is_there_only_on_benchmarks_that_both_models_were_evaluated_on():
    both = {(model, "b"): evals({"a": [RIGHT]}) for model in ("initial", "final")}
    found = metrics.headlines(both | {("final", "c"): evals({"a": [RIGHT]})}, settings(1))
    assert "final_minus_initial" in found["b"]
    assert "final_minus_initial" not in found["c"]
    assert "final_minus_sft" not in found["b"]


def test_the_final_model_is_compared_with_a_baseline_question_by_question():
    final, sft = evals({"a": [RIGHT, RIGHT], "b": [RIGHT, WRONG]}), evals({"a": [RIGHT, WRONG], "b": [WRONG, WRONG]})
    found = metrics.headlines({("sft", "x"): sft, ("final", "x"): final}, settings(1))["x"]
    assert list(found) == ["sft", "final", "final_minus_sft"]
    assert found["final_minus_sft"]["avg_at_n"] == 0.5  # of a 1 - 1/2, of b 1/2 - 0
    assert "| final minus sft | +50.0 |" in results_table.markdown({"x": found})


def test_details_hold_the_scores_of_each_kind_and_what_was_not_judged():
    final = pl.concat([evals({"a": [RIGHT, "timeout"]}), evals({"p": [RIGHT, WRONG], "r": ["crashed"] * 2}, "call")])
    found = metrics.details({("final", "b"): final}, settings(1))["b"]["final"]
    assert found["by_kind"]["call"]["avg_at_n"] == 0.5
    assert (found["questions_unjudged"], found["answers_unjudged"]) == (1, 3)
    assert (found["by_kind"]["call"]["questions_unjudged"], found["by_kind"]["call"]["answers_unjudged"]) == (1, 2)
    assert found["response_tokens"] == 9
    assert found["outcome"] == {RIGHT: 2, "crashed": 2, "timeout": 1, WRONG: 1}


def test_an_evaluation_of_which_nothing_is_judged_is_named_with_its_reason():
    found = evals({"a": ["unparsable_reference"] * 2, "b": ["timeout"]}).with_columns(detail=pl.lit("no letter"))
    with pytest.raises(ValueError) as error:
        metrics.require_judged(found, "evals/base/b.parquet")
    assert str(error.value) == (
        "evals/base/b.parquet: of 3 responses none is judged (unparsable_reference 2, timeout 1), the first: no letter"
    )


@pytest.mark.parametrize("outcome", ["no_answer", "wrong", "not_run"])
def test_an_evaluation_that_was_judged_or_was_not_to_be_judged_may_stand(outcome):
    metrics.require_judged(evals({"a": ["crashed", outcome]}).with_columns(detail=pl.lit("")), "b")


def test_details_count_which_part_of_the_response_was_judged():
    parts = {"solution": 3, "box": 2, "response": 1, "nothing": 4}
    frames = [evals({part: [WRONG] * n}, judged=part) for part, n in parts.items()]
    found = metrics.details({("base", "b"): pl.concat(frames)}, settings(1))
    assert found["b"]["base"]["judged_part"] == {"nothing": 4, "solution": 3, "box": 2, "response": 1}


def both() -> metrics.Headlines:
    of = {("initial", "b"): evals({"a": [WRONG]}), ("final", "b"): evals({"a": [RIGHT]})}
    return metrics.headlines(of, settings(1))


def test_the_table_shows_percent_with_intervals_and_a_signed_gain():
    lines = results_table.markdown(both()).splitlines()
    assert "| b         | initial             | 0.0    | 0.0 to 0.0" in lines[2]
    assert "| +100.0 | +100.0 to +100.0 |" in lines[4]


def test_the_table_shows_how_far_unjudged_answers_could_move_a_score():
    of = {("initial", "b"): evals({"a": [WRONG, "crashed"]}), ("final", "b"): evals({"a": [RIGHT, WRONG]})}
    lines = results_table.markdown(metrics.headlines(of, settings(1))).splitlines()
    assert lines[0].split(" | ")[-1] == "unjudged wrong to right |"
    # 0 of 1 is judged right, 0 or 1 of 2 could be; 1/2 - 1/2 and 1/2 - 0
    assert [line.split(" | ")[-1].strip(" |") for line in lines[2:]] == ["0.0 to 50.0", "", "+0.0 to +50.0"]


def test_where_all_is_judged_the_table_has_no_column_for_what_is_not():
    assert "unjudged" not in results_table.markdown(both())


def test_a_model_of_which_nothing_was_judged_is_shown_as_such():
    found = metrics.headlines({("base", "b"): evals({"a": ["timeout"]})}, settings(1))
    assert "not judged" in results_table.markdown(found)


def test_the_command_prints_the_table_of_a_metrics_file(tmp_path: Path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(both()))
    done = subprocess.run([sys.executable, "-m", "vr.report", path], capture_output=True, text=True, check=True)
    assert done.stdout == results_table.markdown(both()) + "\n"


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"b": {"m": {}}}', '{"b": 1}', '{"b": {"m": {"questions": 1, "avg_at_n": 0}}}']
)
def test_the_command_names_a_file_that_is_no_metrics_file(tmp_path: Path, monkeypatch, text: str):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["vr.report", str(path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert str(end.value).startswith(f"{path}: not the metrics of a run (")


def test_the_command_without_a_file_says_how_it_is_used(tmp_path: Path):
    command = [sys.executable, "-m", "vr.report", tmp_path / "none.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: python -m vr.report metrics.json\n")


def test_a_benchmark_says_how_it_is_judged_and_how_many_of_its_questions_training_has():
    held_out = {"b": pl.DataFrame({"source": ["set (official rule: the first answer)"] * 2 + ["sums"]})}
    assert metrics.of_benchmarks(held_out, {"b": Overlap(questions=3, equal=1, overlapping=2)}) == {
        "b": {
            "source": {"set (official rule: the first answer)": 2, "sums": 1},
            "questions": 3, "equal": 1, "overlapping": 2,
        }
    }  # fmt: skip
