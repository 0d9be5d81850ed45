"""Rows of multiple choice: how options are written, in which order, and which letter is right."""

import polars as pl
import pytest
from benchmark_sets import GPQA, settings, write_gpqa

from vr import verify
from vr.sources import benchmarks


def mmlu(tmp_path, **changes):
    row = {"question_id": 70, "question": "Which? ", "options": ["no", " yes "], "answer_index": 1} | changes
    path = tmp_path / "TIGER-Lab/MMLU-Pro/data/test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pl.DataFrame([row]).write_parquet(path)
    return benchmarks.load("mmlu_pro", settings(), str(tmp_path)).row(0, named=True)


@pytest.fixture
def gpqa(tmp_path):
    write_gpqa(tmp_path)
    return lambda **changes: benchmarks.load("gpqa_diamond", settings(**changes), str(tmp_path))


def test_gpqa_asks_for_the_letter_of_four_options(gpqa):
    lead = (
        "Return your final response within \\boxed{} and only include the letter choice (A, B, C, or D) as your final "
        "response. Made up 0?\nA) "
    )
    question = gpqa()["question"][0]
    assert question.startswith(lead)
    options = question.split("\n")[1]
    assert all(text in options for text in ("right 0", "one", "two", "three, with a comma"))
    assert [options.index(f"{letter}) ") for letter in "ABCD"] == sorted(options.index(f"{x}) ") for x in "ABCD")


def test_the_reference_is_the_letter_before_the_right_answer(gpqa):
    for n, row in enumerate(gpqa().iter_rows(named=True)):
        assert f"{row['reference']}) right {n}" in row["question"]


def test_the_seed_draws_the_order_of_options_and_every_letter_is_right_somewhere(gpqa):
    letters = gpqa()["reference"].to_list()
    assert set(letters) == set("ABCD")
    assert letters == gpqa()["reference"].to_list()
    assert letters != gpqa(seed=1)["reference"].to_list()


def test_the_order_of_options_does_not_change_with_the_number_of_questions(gpqa):
    whole = dict(gpqa().select("problem_id", "question").iter_rows())
    assert all(whole[name] == question for name, question in gpqa(questions=7)[:, ["problem_id", "question"]].rows())


def test_equal_options_leave_the_right_column_right(tmp_path):
    write_gpqa(tmp_path, [GPQA[0] | {"Incorrect Answer 1": "right 0"}])
    row = benchmarks.load("gpqa_diamond", settings(), str(tmp_path)).row(0, named=True)
    assert f"{row['reference']}) right 0" in row["question"]


def test_mmlu_pro_lists_its_options_in_its_own_order(tmp_path):
    row = mmlu(tmp_path)
    assert row["question"] == "Return your final response within \\boxed{}. Which? \nAnswer Choices: (A) no (B) yes"
    assert row["reference"] == "B"
    assert row["problem_id"] == "mmlu_pro/70"


@pytest.mark.parametrize(("options", "index"), [(["a", "b"], 2), (["a"], -1), (list("abcdefghijk"), 0), ([], 0)])
def test_an_option_that_has_no_letter_is_an_error_with_the_question_named(tmp_path, options, index):
    with pytest.raises(ValueError, match=rf"mmlu_pro/70: answer_index {index} of {len(options)} options"):
        mmlu(tmp_path, options=pl.Series(options, dtype=pl.String).to_list() or [None][:0], answer_index=index)


def test_the_article_a_is_no_answer_to_a_question_of_these(gpqa):
    row = gpqa().row(0, named=True)
    tasks = [
        verify.Task("choice", text, row["reference"]) for text in ("A man did it.", f"\\boxed{{{row['reference']}}}")
    ]
    assert [verdict.outcome for verdict in verify.verify(tasks, workers=1)] == ["no_answer", "correct"]
