"""Avg@n, Pass@k and their intervals, with values worked out by hand."""

import numpy as np
import polars as pl
import pytest

from vr.method import evaluation


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (4, 1, 1, 1 / 4),
        (4, 1, 2, 1 - 3 / 6),  # C(3,2)/C(4,2)
        (5, 2, 3, 1 - 1 / 10),  # C(3,3)/C(5,3)
        (4, 0, 2, 0.0),
        (4, 3, 2, 1.0),  # only one wrong: two draws hold a right one
        (4, 4, 4, 1.0),
    ],
)
def test_pass_at_k_is_the_unbiased_estimator(n, c, k, expected):
    assert evaluation.pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 5, 1), (4, -1, 1), (4, 1, 0)])
def test_pass_at_k_refuses_what_has_no_meaning(n, c, k):
    with pytest.raises(ValueError, match="pass_at_k"):
        evaluation.pass_at_k(n, c, k)


def evals(outcomes: dict[str, list[str]]) -> pl.DataFrame:
    """schemas.Evals of one model on one benchmark, by question."""
    return pl.DataFrame(
        [
            {"problem_id": q, "verifier": "math", "sample": i, "outcome": o, "response_tokens": 10}
            for q, of_question in outcomes.items()
            for i, o in enumerate(of_question)
        ]
    )


def test_avg_at_n_is_the_mean_over_questions_of_the_share_right_of_the_judged():
    # 1/2, 1/1 (one answer not judged), not judged at all: left out and counted
    questions = evaluation.per_question(
        evals({"a": ["correct", "wrong"], "b": ["correct", "timeout"], "c": ["crashed", "timeout"]})
    )
    found = evaluation.headline(questions, pass_at=[1, 2], bootstrap=200, seed=0)
    assert found["avg_at_n"] == 0.75
    assert found["questions"] == 3
    assert evaluation.unjudged(questions) == {"questions_unjudged": 1, "answers_unjudged": 3}
    # all wrong: (1/2 + 1/2 + 0) / 3; all right: (1/2 + 1 + 1) / 3
    assert (found["avg_at_n_at_least"], found["avg_at_n_at_most"]) == pytest.approx((1 / 3, 5 / 6))
    assert found["pass_at_k"] == {"1": 0.75}  # k = 2 is more than the one judged answer of b


def test_no_answer_counts_as_not_right():
    questions = evaluation.per_question(evals({"a": ["correct", "no_answer"]}))
    found = evaluation.headline(questions, pass_at=[1], bootstrap=200, seed=0)
    assert found["avg_at_n"] == 0.5
    assert "avg_at_n_at_least" not in found  # everything is judged


def test_where_nothing_was_judged_there_is_no_score_but_the_number_of_questions():
    questions = evaluation.per_question(evals({"a": ["timeout"], "b": ["crashed"]}))
    assert evaluation.headline(questions, pass_at=[1], bootstrap=200, seed=0) == {"questions": 2}


def test_the_interval_of_equal_scores_is_a_point_and_that_of_a_coin_has_the_normal_width():
    assert evaluation.bootstrap_interval(np.full(50, 0.3), 500, 0) == pytest.approx((0.3, 0.3))
    low, high = evaluation.bootstrap_interval(np.array([0.0, 1.0] * 200), 20_000, 0)
    # 1.96 * sqrt(0.25 / 400) = 0.049
    assert (low, high) == pytest.approx((0.5 - 0.049, 0.5 + 0.049), abs=0.003)


def test_the_difference_of_two_models_is_paired_by_question():
    one = evaluation.per_question(evals({"a": ["correct"], "b": ["wrong"], "c": ["correct"]}))
    other = evaluation.per_question(evals({"c": ["correct"], "b": ["wrong"], "a": ["wrong"]}))
    found = evaluation.difference(one, other, bootstrap=500, seed=0)
    assert found["avg_at_n"] == pytest.approx(1 / 3)
    assert found["ci_low"] >= 0  # never below: no question got worse


def test_the_difference_leaves_out_what_was_not_judged_for_both():
    # of a, b, c only b was judged for both: 1 - 0
    one = evaluation.per_question(evals({"a": ["timeout"], "b": ["correct"], "c": ["correct"]}))
    other = evaluation.per_question(evals({"a": ["correct"], "b": ["wrong"], "c": ["crashed"]}))
    found = evaluation.difference(one, other, bootstrap=200, seed=0)
    # the least gain: 2/3 (a wrong) - 2/3 (c right); the most: 3/3 (a right) - 1/3 (c wrong)
    gain = {"avg_at_n_at_least": pytest.approx(0.0), "avg_at_n_at_most": pytest.approx(2 / 3)}
    assert found == {"avg_at_n": 1.0, "ci_low": 1.0, "ci_high": 1.0, "questions": 1} | gain
    assert evaluation.difference(one.filter(problem_id="a"), other, bootstrap=200, seed=0) == {"questions": 0}
