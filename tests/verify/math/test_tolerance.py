r"""Numbers that may be off: by 0.1 where nothing else is said, so that 4.3 is right for 4.2 and 4.31 is not."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vr.verify import Task


def outcome(judge, gold: str, answer: str, tolerance: float | list[float] = 0.1) -> str:
    (verdict,) = judge(Task("math", rf"\boxed{{{answer}}}", gold, json.dumps({"tolerance": tolerance})))
    return verdict.outcome


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("4.2", "4.3"),  # exactly 0.1 off, which floating point would make a little more
        ("4.2", "4.1"),
        ("4.2", r"\frac{17}{4}"),
        ("4.2", r"\frac{4}{3}\pi"),  # 4.189
        ("4.2", "x = 4.25"),
        ("4.2", r"\approx 4.15"),
        ("4.2", r"x = \frac{25}{6} \approx 4.17"),
        ("4.2", r"4.25 \text{ km}"),
        (r"4.2\text{ km}", r"4.25 \text{ km}"),
        (r"30^\circ", "30.05"),
        (r"50\%", "50.05"),
        (r"\sqrt{2}", "1.5"),
        ("1, 2", "2.05, 1.05"),
        (r"\{1, 2\}", "2.05, 1.05"),
        ("(1, 2)", "(1.05, 2.05)"),
        ("(1, 2)", "1.05, 2.05"),
        ("[1, 2)", "[1.05, 2)"),
        ("(1,2),(3,4)", "(3.05,4),(1,2)"),
        ("1, x", "x, 1.1"),
        ("1.0, 1.1, 1.2", "1.11, 1.21, 1.01"),  # 1.11 is near 1.1 and 1.2, and only one choice leaves none over
    ],
)
def test_a_number_within_the_tolerance_is_right(judge, gold, answer):
    assert outcome(judge, gold, answer) == "correct"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("4.2", "4.31"),
        ("4.2", "4.0999"),
        ("4.2", "-4.2"),
        ("4.2", "7 = 4.2"),
        ("4.2", "x = 7 = 4.2"),
        ("4.2", "4.2, 4.25"),
        ("4.2", "4.25, 4.15"),
        ("4.2", "4.25+i"),
        ("4.2", "4.2x"),
        ("4.2", r"\{\}"),
        ("4.2", r"\infty"),
        ("4.2", "x > 4.2"),
        ("x = 4.2", "y = 4.2"),
        (r"4.2\text{ km}", r"4.25\text{ m}"),
        ("(1, 2)", "(2.05, 1.05)"),
        ("(1, 2)", "[1.05, 2.05]"),
        ("[1, 2)", "[1.05, 2]"),
        (r"\{1, 2\}", "(1, 2)"),
        ("1, 2", "1.05"),
        ("1, 2", "1, 2, 2.05"),
        ("1, x", "1.05, y"),
        ("1.0, 1.1, 1.2", "1.11, 1.21, 1.31"),
    ],
)
def test_what_is_further_off_or_no_such_number_is_wrong(judge, gold, answer):
    assert outcome(judge, gold, answer) == "wrong"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("1, 10.5", "correct"), ("10.5, 1", "correct"), ("1.5, 10", "wrong"), ("1.0000001, 10", "wrong")],
)
def test_a_list_of_tolerances_has_one_for_each_part_of_the_reference(judge, answer, expected):
    assert outcome(judge, "1, 10", answer, [0, 0.5]) == expected
    assert outcome(judge, r"x \in \{1, 10\}", answer, [0, 0.5]) == expected


def test_the_tolerance_holds_for_every_accepted_answer(judge):
    tests = json.dumps({"also": ["9"], "tolerance": 0.5})
    verdicts = judge(*(Task("math", rf"\boxed{{{answer}}}", "1", tests) for answer in ("1.5", "8.5", "5")))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "correct", "wrong"]


PIECES = ("1", "2.05", "1e999", "9^{9^{9}}", "x", "i", ",", "(", ")", "[", r"\{", r"\}", "=", r"\approx ", r"\pm ", "-")


@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sampled_from(["4.2", "1, 2", "(1, 2)", "[1, 2)"]), st.lists(st.sampled_from(PIECES), max_size=12))
def test_every_answer_is_decided(judge, gold, pieces):
    assert outcome(judge, gold, "".join(pieces)) in ("correct", "wrong", "no_answer")


def test_an_answer_of_many_parts_takes_no_time(judge):
    many = ", ".join(f"{number}.01" for number in range(60))
    task = Task("math", rf"\boxed{{{many}}}", ", ".join(map(str, range(60))), json.dumps({"tolerance": 100}))
    (verdict,) = judge(task)
    assert verdict.outcome == "correct"
    assert verdict.cpu_seconds < 3.0
