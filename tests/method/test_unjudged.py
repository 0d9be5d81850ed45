"""What the unjudged answers could do to a score, with values worked out by hand."""

import polars as pl
import pytest

from vr.method.unjudged import score, score_in_words, score_range, tally


def verdicts(**outcomes: list[str]) -> pl.DataFrame:
    rows = [{"problem_id": q, "outcome": outcome} for q, of_question in outcomes.items() for outcome in of_question]
    return pl.DataFrame(rows, {"problem_id": pl.String, "outcome": pl.String})


def groups(**outcomes: list[str]) -> pl.DataFrame:
    return tally(verdicts(**outcomes), ["problem_id"])


def test_a_group_has_its_judged_right_and_unjudged_answers_counted():
    found = groups(b=["wrong", "no_answer", "correct"], a=["crashed", "correct", "timeout", "unparsable_reference"])
    assert found.rows() == [("a", 1, 1, 3), ("b", 3, 1, 0)]


def test_the_range_is_the_score_with_all_unjudged_answers_wrong_and_with_all_right():
    found = groups(a=["correct", "crashed"], b=["wrong", "correct"], c=["timeout"])
    assert score(found) == (1 + 1 / 2) / 2  # c has none
    assert score_range(found) == pytest.approx(((1 / 2 + 1 / 2 + 0) / 3, (1 + 1 / 2 + 1) / 3))


def test_without_unjudged_answers_the_range_is_the_score():
    found = groups(a=["correct", "wrong"], b=["correct"])
    assert score_range(found) == (score(found), score(found)) == (0.75, 0.75)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({}, "no answers"),
        ({"a": ["correct", "wrong"]}, "50.0% right"),
        (
            {"a": ["correct", "crashed"], "b": ["wrong", "correct"]},
            "75.0% right; 1 not judged: 50.0% if all of them were wrong, 75.0% if right",
        ),
        ({"a": ["not_run"]}, "nothing judged; 1 not judged: 0.0% if all of them were wrong, 100.0% if right"),
    ],
)
def test_a_log_line_says_the_score_and_how_far_it_could_move(outcomes, words):
    assert score_in_words(groups(**outcomes)) == words
