r"""Reading LaTeX with sympy and comparing the values."""

import pytest
import sympy

from vr.verify.math import sympy_bridge
from vr.verify.math.sympy_bridge import read_latex, same_equation, same_value


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5", "(2.5,i)"),
        ("5", "i<0"),
        ("x<4", "i<0"),
        ("(0,1)", r"(i,2)\cup(3,4)"),
        ("5", "1<"),
        ("5", r"\frac{1}{0}"),
        (r"\frac{1}{0}", r"\frac{2}{0}"),
        ("x", r"\sqrt[0]{x}"),
    ],
)
def test_what_makes_the_libraries_raise_is_not_equal(gold, answer):
    assert not same_value(gold, answer)


@pytest.mark.parametrize("error", [MemoryError, RecursionError, TypeError, ZeroDivisionError])
def test_no_error_of_the_libraries_leaves_the_bridge(monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(sympy_bridge, "_found_equal", fail)
    monkeypatch.setattr(sympy_bridge, "_are_proportional_at_points", fail)
    assert not same_value("x+1", "1+x")
    assert not same_equation(("y", "x+1"), ("y-1", "x"))
    monkeypatch.setattr(sympy_bridge, "_parsed", fail)
    assert read_latex("unheard + 1") is None


@pytest.mark.parametrize("text", [r"see @ \frac{1}{2}", r"\frac{1}{2} \foo", "5 ) 7", "5 @ 3", "a=b=", r"1+\ldots+n"])
def test_a_text_is_read_as_a_whole_or_not_at_all(text):
    assert read_latex(text) is None


@pytest.mark.parametrize(
    ("one", "other"), [("A+b", "a+b"), ("N+1", "n+1"), ("x'", "x"), ("f'+1", "f''+1"), ("a_1", "a_2")]
)
def test_case_primes_and_indices_make_other_variables(one, other):
    assert not same_value(one, other)
    assert same_value(one + "+z", "z+" + one)


def test_algebra_is_not_reached_by_values_that_differ_at_a_point(monkeypatch):
    monkeypatch.setattr(sympy_bridge.math_verify.grader, "verify", pytest.fail)
    monkeypatch.setattr(sympy_bridge.sympy, "simplify", pytest.fail)
    assert not same_value(r"\sin x", r"\cos x")
    assert not same_value(r"(-\infty,4)", r"x^7+\sin x<3")
    assert not same_value("x<4", "x^{7}<5")
    assert not same_value("5", r"(1,2)\cup(3,4)")
    assert not same_equation(("y", "3x-2"), ("(x+y+z)^{99}", "y"))
    assert not same_equation(("y", "3x-2"), ("y^3", "x"))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("(x+1)^{2023}", "(1+x)^{2023}"),  # too large to expand, but the same tree
        ("x^{2023}-1", "-1+x^{2023}"),
        (r"(-\infty,0)\cup(0,\infty)", r"(-\infty,\infty)\setminus\{0\}"),
        (r"(-2,2)", "x^2<4"),
        (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
        ("3+2i", "2i+3"),
        (r"\binom{2n}{n}", r"{\binom{2n}{n}}"),
        ("(x-1)^{20}", sympy.latex(sympy.expand((sympy.Symbol("x") - 1) ** 20))),  # terms of 10^8 that cancel to 10^-9
    ],
)
def test_equal_values_are_equal(gold, answer):
    assert same_value(gold, answer)
