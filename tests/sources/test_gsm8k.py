"""Promises of GSM8K as a source of training questions."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vr import verify
from vr.renderers.markers import split_response
from vr.settings.sources import Gsm8k
from vr.sources import gsm8k
from vr.sources.loaded import Loaded

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "realdata" / "gsm8k"
APPLES = {
    "question": "Ann has 3 bags of 4 apples. She eats 2. How many are left? ",
    "answer": "She has 3*4 = <<3*4=12>>12 apples.\nThen 12-2 = $<<12-2=10>>10 are left.\n#### 10",
}


@pytest.fixture
def load(tmp_path):
    def load(*rows: dict[str, Any], size: int | str = "all") -> Loaded:
        (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return gsm8k.load(Gsm8k(data=str(tmp_path), revision=None, rows=size))

    return load


def test_the_worked_solution_is_the_thought_and_the_final_number_in_a_box_the_answer(load):
    row = load(APPLES).problems.row(0, named=True)
    thought, answer = split_response(row["solution"])
    assert thought == "She has 3*4 = 12 apples.\nThen 12-2 = $10 are left."
    assert answer == r"\boxed{10}"
    assert (row["reference"], row["verifier"], row["tests"]) == ("10", "math", None)
    assert (row["problem_id"], row["source"]) == ("gsm8k/train/0", "gsm8k")


def test_the_question_asks_for_a_box_as_the_benchmark_does(load):
    question = load(APPLES).problems["question"][0]
    assert question.startswith(r"Return your final response within \boxed{}. Ann has 3 bags")
    assert question.endswith("How many are left?")


@pytest.mark.parametrize(
    ("last_line", "number"),
    [("#### 1,450", "1450"), ("####18", "18"), ("#### -7", "-7"), ("#### 2.50 ", "2.50"), ("#### .5", ".5")],
)
def test_a_number_loses_its_commas_alone(last_line, number):
    assert gsm8k.split_answer(f"Some working.\n{last_line}") == ("Some working.", number)


@pytest.mark.parametrize("answer", ["", "#### 3", "The answer is 3", "Working.\n#### ", "Working.\n#### three", None])
def test_a_row_that_is_not_working_and_a_number_is_left_out_with_the_reason(load, answer):
    loaded = load(APPLES, {"question": "How many?", "answer": answer})
    assert loaded.problems["problem_id"].to_list() == ["gsm8k/train/0"]
    reason = "no question, or its answer is not lines of working and then `#### NUMBER`"
    assert loaded.left_out.rows() == [("gsm8k", "gsm8k/train/1", reason, "How many?")]


def test_a_number_of_rows_takes_the_first(load):
    assert load(APPLES, APPLES, APPLES, size=2).problems["problem_id"].to_list() == ["gsm8k/train/0", "gsm8k/train/1"]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real rows beside the repository (../shared/realdata)")
def test_every_real_row_is_a_question_whose_own_verifier_accepts_its_solution():
    loaded = gsm8k.load(Gsm8k(data=str(REAL), revision=None, rows="all"))
    assert (loaded.problems.height, loaded.left_out.height) == (7473, 0)
    assert not loaded.problems["solution"].str.contains("<<|>>|####").any()
    some = loaded.problems.gather_every(20)  # judging them all takes 6 s: 7,473 correct on 24 November 2026
    columns = ("solution", "reference")
    tasks = [
        verify.Task("math", split_response(solution)[1], reference)
        for solution, reference in some.select(columns).rows()
    ]
    assert Counter(verdict.outcome for verdict in verify.verify(tasks, workers=1)) == {"correct": len(tasks)}
