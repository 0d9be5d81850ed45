"""Which questions train what."""

from itertools import pairwise

import polars as pl
import pytest

from vr.method import subsets
from vr.tables.schemas import Subset

QUESTIONS = [f"question-{n}" for n in range(40)]


def problems(questions=QUESTIONS) -> pl.DataFrame:
    return pl.DataFrame({"problem_id": questions}, {"problem_id": pl.String})


def final(size, seed=0, questions=QUESTIONS) -> list[str]:
    return subsets.final_subset(problems(questions), size, seed)["problem_id"].to_list()


def test_all_takes_every_question_in_their_order():
    assert final("all") == QUESTIONS
    assert subsets.final_subset(problems(), "all", 0).columns == Subset.column_names()


def test_a_number_takes_that_many_questions_in_their_order():
    chosen = final(7)
    assert len(chosen) == 7
    assert chosen == [question for question in QUESTIONS if question in chosen]


def test_the_chosen_questions_have_the_lowest_hashes():
    # sha256 of subset/0/a is 7037..., of subset/0/b e672..., of subset/0/c 9a4e...
    assert final(1, questions=["b", "a", "c"]) == ["a"]
    assert final(2, questions=["c", "b", "a"]) == ["c", "a"]


def test_a_larger_subset_contains_a_smaller_one():
    chosen = [set(final(size)) for size in range(1, 41)]
    assert all(smaller < larger for smaller, larger in pairwise(chosen))


def test_other_questions_and_their_order_do_not_change_which_of_two_goes_first():
    chosen = final(10)
    rest = [question for question in QUESTIONS if question not in chosen]
    assert set(final(10, questions=[*chosen, *rest[::2]])) == set(chosen)
    assert set(final(10, questions=QUESTIONS[::-1])) == set(chosen)


def test_another_seed_chooses_other_questions():
    assert set(final(10, seed=1)) != set(final(10, seed=0))


def test_a_subset_larger_than_the_questions_is_an_error():
    with pytest.raises(ValueError, match=r"subsets\.final\.size = 41: there are 40 questions"):
        final(41)


@pytest.mark.parametrize("disjoint", [True, False])
def test_the_initial_subset_is_all_questions_or_the_others(disjoint):
    chosen = subsets.final_subset(problems(), 7, 0)
    initial = subsets.initial_subset(problems(), chosen, disjoint=disjoint)["problem_id"].to_list()
    others = [question for question in QUESTIONS if question not in set(chosen["problem_id"])]
    assert initial == (others if disjoint else QUESTIONS)
    assert len(others) == 33


def test_a_disjoint_initial_subset_without_questions_is_an_error():
    with pytest.raises(ValueError, match=r"the initial subset has no question \(subsets.disjoint"):
        subsets.initial_subset(problems(), subsets.final_subset(problems(), "all", 0), disjoint=True)


def test_no_questions_at_all_are_an_error():
    with pytest.raises(ValueError, match="the final subset has no question"):
        final("all", questions=[])
