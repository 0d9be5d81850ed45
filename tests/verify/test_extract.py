r"""Finding answers and programs in solutions."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify.extract import final_answer, last_program


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{3}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{a \} b}", r"a \} b"),
        (r"\fbox{6}", "6"),
        (r"\boxed 6$", "6"),
        (r"\boxed{3} and later \boxed{7", "3"),  # the last balanced box
        (r"$x=\boxed{2}$ or $x=\boxed{3}$", "2, 3"),
        (r"<think>\boxed{4}</think>\boxed{5}", "5"),
        ("The answer is 5.", "5"),
        ("The answer is 0.5.", "0.5"),
        ("**Answer:** 5", "5"),
        ("The final answer is $\\frac{1}{2}$, since", r"\frac{1}{2}"),
        ("#### 72", "72"),
        ("答案是5", "5"),
    ],
)
def test_the_answer_of_a_solution(solution, answer):
    assert final_answer(solution) == answer


@pytest.mark.parametrize(
    ("between", "answer"),
    [
        (" and ", "1, 2"),
        (r",\ \text{or}\quad $x_{1} = $", "2"),  # a control space is no separator that joins
        (r", \text{ or } $x_{1} = $", "1, 2"),
        (", then ", "2"),
        (". So ", "2"),
        (";", "2"),
    ],
)
def test_boxes_are_one_answer_where_or_and_or_a_comma_joins_them(between, answer):
    assert final_answer(rf"\boxed{{1}}{between}\boxed{{2}}") == answer


@pytest.mark.parametrize(
    "run", [" ", "\n", "$", ",", ", ", "{", "}", "\\", "x", "or ", "\\text{", "\\quad", "answer is ", "."]
)
def test_finding_the_answer_takes_time_linear_in_the_text(run):
    started = time.process_time()
    for frame in (r"\boxed{1},%s x \boxed{2}", r"\boxed{%s", "The answer is %s", r"\boxed{1}%s!", r"\boxed{1}\boxed%s"):
        final_answer(frame % (run * (20_000 // len(run))))
    assert time.process_time() - started < 0.5  # about 0.02 s; quadratic would be tens of seconds


@pytest.mark.parametrize(
    "solution", ["", "step 5", "x = 5", r"\boxed{", r"\boxed{\frac{1}{2}", r"\boxed{}", "we get 12"]
)
def test_a_number_somewhere_is_no_answer(solution):
    assert final_answer(solution) is None


PIECES = (
    r"\boxed{",
    r"\boxed",
    "}",
    "{",
    "$",
    "5",
    " ",
    ", ",
    "or ",
    "answer is ",
    "####",
    "</think>",
    "\n",
    "\\",
    "\ud800",
    ".",
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=30).map("".join))
def test_every_text_names_an_answer_that_is_not_empty_or_none(solution):
    answer = final_answer(solution)
    assert answer is None or answer.strip()


def test_the_last_fenced_block_is_the_program():
    text = "```python\nfirst\n```\nbetter:\n```python3.11\nsecond\n```\n"
    assert last_program(text) == "second\n"
    assert last_program("```c++\nint x;\n```") == "int x;\n"


def test_an_unclosed_last_block_and_a_bare_program_count():
    assert last_program("text\n```python\nprint(1)\n") == "print(1)\n"
    assert last_program("import sys\nprint(1)") == "import sys\nprint(1)"
    assert last_program("I do not know.") is None
    assert last_program("") is None


def test_a_fence_that_names_a_language_opens_a_block_even_where_the_block_before_it_was_not_closed():
    assert last_program("```python\nfirst\n```python\nsecond\n```\nSo it is.") == "second\n"
    assert last_program("```python\nfirst\n``` So it is.\nBye.") == "first\n"


def test_a_fence_inside_a_program_does_not_end_it():
    program = 'def f():\n    """\n    ```\n    >>> f()\n    ```\n    """\n'
    assert last_program(f"```python\n{program}```\n") == program
    assert last_program("  ```python\n  x = 1\n   ```\nBye.") == "  x = 1\n"
    assert last_program("````python\nx = '''\n```\n'''\n````\nBye.") == "x = '''\n```\n'''\n"


def test_line_ends_of_windows_and_inline_code():
    assert last_program("```python\r\nx = 1\r\n```\r\nBye.") == "x = 1\r\n"
    assert last_program("```x``` is a name") is None


MILLION = 1_000_000
LONG_TEXTS = {
    "a fence's language": "```" + "a" * MILLION + "`",
    "spaces in a fence": "```" + " " * MILLION + "`",
    "backticks": "`" * MILLION + "x",
    "blank lines": "\n" * MILLION + "!",
    "spaces": " " * MILLION + "!",
    "unclosed fences": "```a\n" * (MILLION // 5),
    "a word": "a" * MILLION,
    "spaces after a word": "a" + " " * MILLION,
    "a loop that is none": "for " + ":x" * (MILLION // 2),
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_finding_the_program_takes_time_linear_in_the_text(text):
    started = time.process_time()
    last_program(text)
    assert time.process_time() - started < 30  # a quadratic search takes hours
