"""Reading the tests of a task: what is used and what is refused."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify.programs.cases import UnreadableTestsError, read_asserts, read_cases


def test_arguments_travel_with_the_types_of_json_and_integer_keys():
    tests = '{"inputs": [[1, {"2": [true]}, {"a": {}}]], "outputs": [3], "fn_name": "f"}'
    (call,) = read_cases(tests, is_call=True).inputs
    arguments, keywords = json.loads(call)
    assert arguments == [1, {"dict": [[2, [True]]]}, {"dict": [["a", {"dict": []}]]}]
    assert keywords == {"dict": []}


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize(
    "output", ["[" * 200 + "]" * 200, "9" * 20_001, '{"a":' * 200 + "1" + "}" * 200], ids=["lists", "digits", "objects"]
)
def test_tests_that_no_answer_could_meet_are_refused(output, is_call):
    with pytest.raises(UnreadableTestsError):
        read_cases(f'{{"inputs": [[1]], "outputs": [{output}], "fn_name": "f"}}', is_call=is_call)


def test_asserts_are_a_text_or_a_list_of_lines_and_the_name_may_be_that_of_a_method():
    assert read_asserts('{"asserts": "assert f(1)", "fn_name": "f"}') == ("assert f(1)", "f")
    assert read_asserts('{"asserts": ["a", "b"], "fn_name": "Solution().g"}') == ("a\nb", "g")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "outputs", "fn_name", "asserts", "1"]), inner, max_size=4)
    ),
    max_leaves=6,
)
TEXTS = (
    st.text(max_size=9)
    | VALUES.map(json.dumps)
    | st.fixed_dictionaries(
        {"inputs": st.lists(VALUES, max_size=2), "outputs": st.lists(VALUES, max_size=2), "fn_name": st.just("f")}
    ).map(json.dumps)
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(text=TEXTS, is_call=st.booleans())
def test_any_tests_are_used_or_refused(text, is_call):
    with contextlib.suppress(UnreadableTestsError):
        read_cases(text, is_call=is_call)
    with contextlib.suppress(UnreadableTestsError):
        read_asserts(text)
