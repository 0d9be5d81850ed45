"""Reading JSON that may be forged."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify.programs.bounded_json import MAX_NUMERAL_CHARACTERS, parse


def test_honest_values_are_read_as_they_are():
    assert parse(b'{"value": [1, 2.5, "a", null, true, 1e3]}') == {"value": [1, 2.5, "a", None, True, 1000.0]}
    assert parse("9" * 4000) == 10**4000 - 1


FORGED = {
    "digits": b"9" * 16_000_000,
    "a negative number": b"-" + b"9" * 16_000_000,
    "decimals": b"0." + b"9" * 16_000_000,
    "an exponent": b"1e" + b"9" * 16_000_000,
    "lists": b"[" * 16_000_000,
    "objects": b'{"a":' * 3_000_000,
    "no JSON": b"\xff" * 16_000_000,
    "one digit too many": b"9" * (MAX_NUMERAL_CHARACTERS + 1),
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
def test_what_would_cost_too_much_is_refused_in_linear_time(text):
    started = time.process_time()
    with pytest.raises(ValueError):
        parse(text)
    assert time.process_time() - started < 10  # the digits of an integer are read in quadratic time: a minute


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789.e-truefalsn\\ud8', max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        parse(text)
