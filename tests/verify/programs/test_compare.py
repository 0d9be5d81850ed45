"""Comparing outputs and results: what is forgiven and what is not."""

import pytest

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
        (3, [3]),
    ],
)
def test_different_results(expected, given):
    assert not same_result(expected, given)


def test_lists_of_lines_are_joined_and_other_things_refused():
    assert joined(["1", ["2", 3]]) == "1\n2\n3"
    with pytest.raises(TypeError):
        joined({"a": 1})
