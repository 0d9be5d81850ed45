"""Comparing outputs and results: what is forgiven and what is not."""

import itertools
import time

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from vr.verify.programs.compare import joined, same_output, same_result


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("3", "3\n"),
        ("1 2\n3", "1 2 \r\n\r\n3\r\n"),  # line ends, trailing spaces, blank lines
        ("3", "3.0"),
        ("0.5", ".50"),
        ("1000000.0", "1000000.5"),  # 0.5 / 1e6 = 5e-7, under 1e-6 relative
        ("0.0", "0.0000000001"),  # 1e-10, under 1e-9 absolute
        ("YES", "YES"),
        ("", "\n"),
    ],
)
def test_equal_outputs(expected, given):
    assert same_output(expected, given)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("YES\nNO\nYES\nNO", "NO\nYES"),  # lines are no set
        ("YES\nNO", "NO\nYES"),
        ("1 2", "1\n2"),  # the lines count
        ("1 2", "1 2 2"),
        ("500000007", "500000107"),  # within any relative tolerance, and wrong
        ("500000007", "500000007.4"),
        ("1000", "1_000"),
        ("12", "１２"),
        ("1.0", "1.1"),
        ("yes", "YES"),
        ("1", ""),
        ("nan", "1"),
        ("9" * 5000, "8" * 5000),
        ("1e400", "1e500"),  # both beyond any float
        ("1\n\n2", "1 2"),
        ("1 2", "1 2\n3"),
        ("a b", "\na\n b"),
    ],
)
def test_different_outputs(expected, given):
    assert not same_output(expected, given)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (3, 3),
        ([3], 3),  # APPS wraps a single value
        ([[1, 2]], [1, 2]),
        (0.1, 0.10000000001),
        (2, 2.0),
        (1000000007.0, 1000000007),
        ([[1], 2], {"tuple": [{"tuple": [1]}, 2]}),  # a tuple counts as a list
        ({"1": 5}, {"dict": [[1, 5]]}),  # keys as text
        ("a", "a"),
        (None, None),
        (True, True),
    ],
)
def test_equal_results(expected, given):
    assert same_result(expected, given)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (1, True),
        (True, 1),
        ("1", 1),
        ([], None),
        ([1, 2], [2, 1]),
        ([1, 2], {"set": [1, 2]}),
        ([], {"dict": []}),
        (5, {"other": "E"}),
        ({"1": 5}, {"dict": [[1, 6]]}),
        (10**400, 1.0),
        (1.0, 10**400),
        (1000000007, 1000000000.0),  # within any relative tolerance, and wrong
        (3, 3.0000001),
        (2**53 + 1, float(2**53)),
        (1, float("inf")),
        ({"1": 5}, {"dict": [[1, 5], ["1", 5]]}),
        (3, [3]),
    ],
)
def test_different_results(expected, given):
    assert not same_result(expected, given)


def test_lists_of_lines_are_joined_and_other_things_refused():
    assert joined(["1", ["2", 3]]) == "1\n2\n3"
    with pytest.raises(TypeError):
        joined({"a": 1})


def test_long_outputs_are_compared_in_linear_time_and_up_to_the_first_difference():
    started = time.process_time()
    assert same_output("ab\n" * 300_000, "ab \n" * 300_000)
    assert not same_output("1", "\udcff\n" * 4_000_000)
    assert not same_output("1 " * 2_000_000, "2 " * 2_000_000)
    assert not same_output("a", " " * 4_000_000 + "b")
    assert time.process_time() - started < 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dict", "tuple", "set", "other", "value", "error"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@generated(expected=JSON, given=JSON)
def test_any_json_as_a_result_is_compared_without_a_fault(expected, given):
    assert same_result(expected, given) in (True, False)


NUMERALS = st.text(alphabet="0123456789.eE+- \n\r\tnaif_\udcff\u0663", max_size=12)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@generated(expected=NUMERALS | st.text(max_size=8), given=NUMERALS | st.text(max_size=8))
def test_any_text_as_output_is_compared_without_a_fault(expected, given):
    assert same_output(expected, given) in (True, False)


def _lines(text):
    """Tokens by line, as the rules say it and not as the comparison does it."""
    return [line.split() for line in text.split("\n") if line.split()]


def test_the_lines_and_tokens_count_and_nothing_else():
    texts = ["".join(pieces) for n in range(5) for pieces in itertools.product("a \n", repeat=n)]
    for expected, given in itertools.product(texts[::3], texts):
        assert same_output(expected, given) == (_lines(expected) == _lines(given)), (expected, given)
