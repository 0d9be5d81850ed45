r"""Exact arithmetic on short LaTeX strings."""

import time

import pytest

from vr.verify.math.exact import TooLargeError, exact_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{3}{4}", 0.75),
        ("2\\frac{1}{2}", 2.5),  # a mixed number
        ("-2^{2}", -4),  # the sign binds less than the power
        ("2^{-1}", 0.5),
        ("5!", 120),
        (r"\binom{5}{2}", 10),
        (r"1.5\times 10^{3}", 1500),
        ("(1+2)(3)", 9),
        ("6/2/3", 1),
        (r"\sqrt{16}", 4),
        (r"0.\overline{3}+0.1\overline{6}", 0.5),  # 1/3 + 1/6
    ],
)
def test_exact_arithmetic(text, value):
    assert exact_value(text) == value


@pytest.mark.parametrize("text", ["x", "1 7", "1/0", r"\sqrt{2}", "2^{1/2}", "", "1+", "__import__('os')", "１"])
def test_what_is_not_plain_arithmetic_is_none(text):
    assert exact_value(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "10^{10000000}",
        "999999!",
        r"\binom{1000000000}{500000000}",
        r"\binom{1000000000}{20000}",
        "9^{50000}/7^{50000}",  # each fits, the fraction does not
        "*".join(["9^{999}"] * 100),  # each factor is small, and so is each of the first products
    ],
)
def test_numbers_past_the_bound_are_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(TooLargeError):
        exact_value(text)
    assert time.process_time() - started < 0.2


def test_powers_of_one_and_nought_have_no_bound():
    assert exact_value("(-1)^{99999999999}") == -1
    assert exact_value("0^{99999999999}") == 0
    assert exact_value("0^{-1}") is None


def test_a_long_run_of_digits_is_read_in_linear_time():
    started = time.process_time()
    assert exact_value("1." * 10_000) is None
    assert exact_value("." + "1" * 3_000 + "x") is None
    with pytest.raises(TooLargeError):
        exact_value("1" * 20_000)
    assert time.process_time() - started < 1.0
