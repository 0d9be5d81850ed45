"""Rows of mathematics: references, other right answers, tolerances and worked solutions."""

import json

import pytest
from benchmark_sets import settings, write_jsonl

from vr.renderers.markers import split_response
from vr.sources import benchmarks
from vr.sources.benchmarks.mathematics import shortest

OLYMPIAD = {
    "id": 7,
    "question": "q",
    "solution": ["Because."],
    "final_answer": ["4.2"],
    "is_multiple_answer": False,
    "error": None,
}


def olympiad(tmp_path, *, official: bool = False, **changes):
    """The one question of a set with one changed row."""
    file = tmp_path / "Hothan/OlympiadBench/OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.jsonl"
    write_jsonl(file, [OLYMPIAD | changes])
    return benchmarks.load("olympiadbench", settings(official=official), str(tmp_path)).row(0, named=True)


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("073", "73"), ("000", "0"), ("25", "25"), (27.0, "27"), (-1.0, "-1"), (9, "9"), ("27.0", "27"),
        ("336^\\circ", "336"), ("336^{\\circ}", "336"), ("2.5", "2.5"), (2.5, "2.5"), ("\\frac{1}{2}", "\\frac{1}{2}"),
    ],
)  # fmt: skip
def test_whole_numbers_lose_zeros_decimals_and_degrees_and_other_answers_stand(answer, written):
    assert shortest(answer) == written


def test_a_worked_solution_with_a_box_is_kept_and_one_without_is_not(tmp_path):
    rows = [
        {"problem": "a?", "answer": "1", "solution": "So \\boxed{1}.", "unique_id": "test/a.json"},
        {"problem": "b?", "answer": "2", "solution": "So 2.", "unique_id": "test/b.json"},
    ]
    write_jsonl(tmp_path / "qq8933/MATH500/test.jsonl", rows)
    table = benchmarks.load("math500", settings(), str(tmp_path))
    assert table["problem_id"].to_list() == ["math500/test/a.json", "math500/test/b.json"]
    assert split_response(table["solution"][0])[1] == "So \\boxed{1}."
    assert table["solution"][1] is None


def test_aime25_has_the_instruction_behind_the_question_and_rows_named_by_number(tmp_path):
    write_jsonl(tmp_path / "zhouxiangxin/AIME2025/train.jsonl", [{"question": "q0", "answer": "073"}])
    row = benchmarks.load("aime25", settings(), str(tmp_path)).row(0, named=True)
    assert row["problem_id"] == "aime25/0"
    assert row["question"] == "q0\nReturn your final response within \\boxed{}"
    assert row["reference"] == "73"


def test_a_stated_error_is_an_absolute_tolerance(tmp_path):
    assert json.loads(olympiad(tmp_path, error="1e-1")["tests"]) == {"tolerance": 0.1}
    assert json.loads(olympiad(tmp_path, error="1e-1,2")["tests"]) == {"tolerance": [0.1, 2.0]}
    assert olympiad(tmp_path)["tests"] is None


def test_several_final_answers_are_all_asked_for(tmp_path):
    row = olympiad(tmp_path, final_answer=["$69$", "$84$"], is_multiple_answer=True)
    assert row["reference"] == "$69$, $84$"
    assert row["tests"] is None
    assert split_response(row["solution"])[1] == "\\boxed{$69$, $84$}"


def test_final_answers_of_a_question_with_one_are_each_right(tmp_path):
    row = olympiad(tmp_path, final_answer=["1/2", "0.5"])
    assert row["reference"] == "1/2"
    assert json.loads(row["tests"]) == {"also": ["0.5"]}


def test_the_official_rule_takes_the_first_answer_without_tolerance_and_is_named(tmp_path):
    row = olympiad(tmp_path, official=True, final_answer=["2", "3"], is_multiple_answer=True, error="1e-1")
    assert row["reference"] == "2"
    assert row["tests"] is None
    assert row["source"] == "olympiadbench (official rule: the first final answer alone, without tolerance)"


def test_the_official_rule_is_not_named_where_it_is_the_only_one(tmp_path):
    write_jsonl(tmp_path / "zhouxiangxin/AIME2025/train.jsonl", [{"question": "q", "answer": "1"}])
    assert benchmarks.load("aime25", settings(official=True), str(tmp_path))["source"][0] == "aime25"


def gsm8k(tmp_path, answer):
    write_jsonl(tmp_path / "openai/gsm8k/main/test.jsonl", [{"question": " q ", "answer": answer}])
    return benchmarks.load("gsm8k", settings(), str(tmp_path)).row(0, named=True)


def test_gsm8k_is_asked_as_in_training_and_its_working_is_the_thought(tmp_path):
    row = gsm8k(tmp_path, "2 of 3 is <<2*3=6>>6.\n#### 1,006")
    assert row["question"] == "Return your final response within \\boxed{}. q"
    assert row["reference"] == "1006"
    assert split_response(row["solution"]) == ("2 of 3 is 6.", "\\boxed{1006}")


def test_a_row_of_gsm8k_without_a_number_is_named(tmp_path):
    with pytest.raises(ValueError, match="gsm8k/0: its answer is not lines of working"):
        gsm8k(tmp_path, "six")
