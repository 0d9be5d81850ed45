"""The program that scores inside the sandbox: what may be evaluated, and which entries can be used."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify.gym import program
from vr.verify.gym.program import evaluate

FRAGMENTS = [
    *("trap", "eval", "__import__", "getattr", "x", "sqrt"),
    *("lambda x:", " for x in ", " if ", " else ", " or ", "not ", "await ", "yield "),
    *("(", ")", "()", "(1)", "[", "]", "[0]", "{", "}", ":", ",", ".", ":=", "=", ";"),
    *("*", "**", "+", "-", "/", "@", "<", "~", "!", "#", "\\", "\n", "\t", " "),
    *("1", "0x1", "1e9", "'a'", "f'{", "}'", "'", '"'),
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-2 ** 2", -4),
        ("0x5f & (0xa - 3)", 7),
        ("[[0, 1], (2, 'a')]", [[0, 1], (2, "a")]),
        ("{'A': 1, 'B': 2}", {"A": 1, "B": 2}),
        ("1 < 2", True),
        ("\t 3 \n", 3),
    ],
)
def test_literals_and_arithmetic_are_evaluated(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "\t__import__('os')",
        "__builtins__",
        "open('x')",
        "eval('1')",
        "sqrt(eval('1'))",
        "(1).__class__",
        "x.y",
        "(lambda: 1)()",
        "sqrt(4)(4)",
        "[sqrt][0](4)",
        "[1 for _ in (1,)]",
        "f'{1}'",
        "(x := 1)",
        "sqrt(*[4])",
        "sqrt(4, **{})",
        "sqrt(4, evaluate=False)",
        "1 if 1 else 2",
        "S('1')",
        "Integral(x, x)",
    ],
)
def test_what_does_more_than_compute_is_refused_before_it_runs(text):
    ran = []
    names = dict.fromkeys(["sqrt", "open", "eval", "S", "Integral", "x"], lambda *_, **__: ran.append(text) or 1)
    with pytest.raises(ValueError, match="is not admitted"):
        evaluate(text, {**names, "__import__": names["x"]})
    assert ran == []


@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_no_text_calls_what_is_not_admitted(text):
    ran = []
    traps = dict.fromkeys(["trap", "eval", "__import__", "getattr", "x"], ran.append)
    with contextlib.suppress(Exception):
        evaluate(text, {**traps, "__builtins__": {}, "sqrt": abs})
    assert ran == []


def test_names_that_are_given_can_be_used_and_called():
    assert evaluate("sqrt(x) + x", {"sqrt": lambda x: x / 2}, {"x": 6}) == 9


def test_without_names_not_even_a_builtin_can_be_named():
    with pytest.raises(NameError):
        evaluate("[abs]")


@pytest.mark.parametrize("text", ["1 +", "1; 2", "import os", "x = 1", "1\n+2", "\0", "\ud800", "(" * 500])
def test_what_is_no_expression_is_an_exception_that_scorers_catch(text):
    with pytest.raises((SyntaxError, ValueError)):
        evaluate(text)


@pytest.mark.parametrize(
    ("answer", "is_same"),
    [
        ("9 * 7 + 5", True),
        ("(5 + (7 * 9))\n", True),
        ("5 + 7 * 9 * 9", False),
        ("5 + 7", False),
        ("5e0 + 7 * 9", False),
        ("5 + 7 * 9 + pi / pi", False),
        ("5.7 * 9", False),
        ("0x5 + 7 * 9", False),
        ("5 + 7 * 9 + 1_0", False),
        ("5 + 7 * ९", False),
    ],
)
def test_an_arithmetic_answer_uses_each_number_of_the_entrys_own_answer_and_no_other(answer, is_same):
    assert program._same_numbers("5 + 7 * 9", answer) is is_same


@pytest.mark.parametrize("points", [0.0, 0.999, 1.001, 5.0, float("inf"), float("nan"), -1.0])
def test_only_the_full_score_is_full(points):
    assert not program.is_full(points)
    assert program.is_full(1.0) and program.is_full(sum([0.1] * 10))
