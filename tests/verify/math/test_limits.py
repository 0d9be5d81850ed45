r"""What a formula may cost before sympy reads it, and before sympy computes with it."""

import time

import pytest

from vr.verify.math.limits import limit_of_text, limit_of_tree, may_be_expanded
from vr.verify.math.sympy_bridge import limit_met, read_latex

ORDINARY = [
    r"\frac{-b+\sqrt{b^2-4ac}}{2a}",
    r"\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2}}}}",
    r"\sin\frac{\pi}{7}\sin\frac{2\pi}{7}\sin\frac{3\pi}{7}",
    r"x^{2024}-1",
    r"2^{2n+10}",
    r"\binom{2n}{n}",
    r"(-\infty,-1)\cup(1,\infty)",
    r"|x-1|+|x+1|",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_answers_are_far_from_the_limits(text):
    assert limit_met(text) == ""
    assert read_latex(text) is not None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("x+" * 250 + "x", "characters"),
        ("(" * 11 + "x" + ")" * 11, "nested"),
        ("x^{" * 11 + "x" + "}" * 11, "nested"),
        ("|x|" * 5, "bars"),
        (r"\sin " + "ab" * 9, "factors"),
        (r"\sum_{n=1}^{10^{18}} n", r"\sum"),
        (r"\int_0^1 x^x dx", r"\int"),
        (r"\operatorname{eye}(99999)", r"\operatorname"),  # would make a matrix of 10^10 cells
        (r"\det M", r"\det"),
        (r"\Gamma(99999999)", r"\Gamma"),
        (r"1+\gamma 99999999", r"\gamma"),  # the grammar takes it for a function, which it evaluates
        (r"\begin{vmatrix}a&b\\c&d\end{vmatrix}", "environment"),
        (r"(0,1)\cup" * 13 + "(1,2)", "united"),
        ("1e99999", "exponent of ten"),  # a float, of which the reader makes a power of ten
        (r"(0,9^{9999})\cup(1,2)", "too large"),  # an interval compares its ends when it is made
    ],
)
def test_what_costs_too_much_to_read_is_not_read(text, limit):
    assert limit in limit_of_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9^{9}}}",
        "x+(9999^{9999})^{9999}",
        "2^{n+1111111111111111}",
        "2^{9^{99}x}",
        "x+1000000000!",
        r"x+\binom{1000000000}{500000000}",
        r"\binom{x}{9999}",
        r"\binom{I}{999}",
        "-".join("abcdefg" * 25),
        r"\ln" * 9 + "2",
        r"\tan(\pi^{123456789}-10)",
        r"\sin(x^{123456789})",
        "(x+y+z)^{9999}",
    ],
)
def test_what_costs_too_much_to_compute_is_not_computed(text):
    started = time.process_time()
    assert limit_met(text)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("(x+y+z)^{30}", True),  # (32 choose 2) = 496 terms
        ("(x+y+z)^{99}", False),  # (101 choose 2) = 5050 terms
        ("(a+b)(c+d)(e+f)", True),  # 8 terms
        ("(a+b+c+d)(a+b+c+d)(a+b+c+d)(a+b+c+d)(a+b+c+d)", False),  # 1024 terms before like ones are put together
        ("x^{9999}", True),
        ("x^{15000}", False),  # of more than the highest degree
        (r"\binom{n}{3}", True),
    ],
)
def test_terms_are_counted_before_anything_is_expanded(text, may):
    assert may_be_expanded(read_latex(text)) is may


def test_bits_of_a_power_are_those_of_its_base_times_its_exponent():
    # 7 has 3 bits: 3 * 6000 = 18,000 bits and 13 of the exponent; 3 * 7000 = 21,000
    assert limit_of_tree(read_latex("7^{6000}x")) == ""
    assert limit_met("7^{7000}x") == "numbers of more than 20,000 bits"
