"""What a question accepts: its reference, others beside it, and tolerances; and when none of it can be used."""

import json

import pytest

from vr.verify import Task


@pytest.mark.parametrize(
    ("answer", "outcome"), [("4", "correct"), ("0.5", "correct"), (r"\frac{1}{2}", "correct"), ("6", "wrong")]
)
def test_any_of_several_references_is_right(judge, answer, outcome):
    (verdict,) = judge(Task("math", rf"\boxed{{{answer}}}", "4", json.dumps({"also": [r"\frac{2}{4}", "x+1"]})))
    assert verdict.outcome == outcome


def test_another_reference_may_be_a_solution_with_a_box(judge):
    (verdict,) = judge(Task("math", r"\boxed{7}", "4", json.dumps({"also": [r"We add, and get $\boxed{7}$."]})))
    assert verdict.outcome == "correct"


@pytest.mark.parametrize("unreadable", ["", "see @ the # figure", r"We conclude that \boxed{"])
def test_a_reference_that_cannot_be_read_is_passed_over_where_another_can(judge, unreadable):
    tests = json.dumps({"also": ["5"]})
    verdicts = judge(*(Task("math", rf"\boxed{{{answer}}}", unreadable, tests) for answer in ("5", "6")))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong"]


def test_where_no_reference_can_be_read_nothing_is_judged_and_the_first_is_named(judge):
    (verdict,) = judge(Task("math", r"\boxed{5}", "x @ y", json.dumps({"also": ["p # q"]})))
    assert (verdict.outcome, verdict.detail) == ("unparsable_reference", "cannot read 'x @ y'")


@pytest.mark.parametrize("tests", [None, "", "{}"])
def test_both_entries_of_the_tests_may_be_left_out(judge, tests):
    verdicts = judge(*(Task("math", rf"\boxed{{{answer}}}", "5", tests) for answer in ("5", "5.01")))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("5", "not an object"),
        ("[]", "not an object"),
        ("{also: 5}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"tolerance": ' + "9" * 5_000 + "}", "tests"),
        ('{"inputs": ["1"]}', "not an object of also and tolerance"),
        ('{"also": "5"}', "also"),
        ('{"also": [5]}', "also"),
        ('{"also": [" "]}', "also"),
        ('{"tolerance": -0.1}', "tolerance"),
        ('{"tolerance": "0.1"}', "tolerance"),
        ('{"tolerance": true}', "tolerance"),
        ('{"tolerance": null}', "tolerance"),
        ('{"tolerance": NaN}', "tolerance"),
        ('{"tolerance": 1e400}', "tolerance"),
        ('{"tolerance": []}', "tolerance"),
        ('{"tolerance": [0.1, 0.2]}', "2 tolerances for a reference of 1 parts"),
    ],
)
def test_tests_that_cannot_be_read_make_the_reference_unusable_whatever_the_answer_is(judge, tests, reason):
    verdicts = judge(*(Task("math", answer, "5", tests) for answer in (r"\boxed{5}", r"\boxed{6}", "no answer")))
    assert {verdict.outcome for verdict in verdicts} == {"unparsable_reference"}
    assert reason in verdicts[0].detail
