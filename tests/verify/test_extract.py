r"""Finding answers and programs in solutions."""

import pytest

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
    "solution", ["", "step 5", "x = 5", r"\boxed{", r"\boxed{\frac{1}{2}", r"\boxed{}", "we get 12"]
)
def test_a_number_somewhere_is_no_answer(solution):
    assert final_answer(solution) is None


def test_the_last_fenced_block_is_the_program():
    text = "```python\nfirst\n```\nbetter:\n```python3.11\nsecond\n```\n"
    assert last_program(text) == "second\n"
    assert last_program("```c++\nint x;\n```") == "int x;\n"


def test_an_unclosed_last_block_and_a_bare_program_count():
    assert last_program("text\n```python\nprint(1)\n") == "print(1)\n"
    assert last_program("import sys\nprint(1)") == "import sys\nprint(1)"
    assert last_program("I do not know.") is None
    assert last_program("") is None
