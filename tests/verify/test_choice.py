r"""Multiple choice: the letter that an answer chooses."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify import Task
from vr.verify.choice import read_choice
from vr.verify.math.normalise import normalise


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(B)", "B"), (r"\textbf{(B)}\ 12", "B"), ("B. 12", "B"), ("J", "J"), ("option C", "C")],
)
def test_the_letter_of_a_choice(answer, letter):
    choice = read_choice(normalise(answer))
    assert choice is not None
    assert choice[0] == letter


@pytest.mark.parametrize("answer", ["A man", "A or B", "(A) and (C)", "K", "", "12", "Ab"])
def test_what_chooses_no_single_letter(answer):
    assert read_choice(answer) is None


def test_choices_are_judged_by_letter(judge):
    cases = [
        ("B", "The answer is (B).", "correct"),
        ("B", r"\boxed{\text{B}}", "correct"),
        (r"\text{(B)}", "**Answer: C**", "wrong"),
        ("B", r"\boxed{A or B}", "wrong"),
        ("B", "I do not know", "no_answer"),
        ("12", r"\boxed{B}", "unparsable_reference"),
        ("", r"\boxed{B}", "unparsable_reference"),
    ]
    verdicts = judge(*(Task("choice", answer, gold) for gold, answer, _ in cases))
    assert [verdict.outcome for verdict in verdicts] == [outcome for *_, outcome in cases]


def test_an_empty_reference_judges_nobody_and_no_answer_can_change_that(judge):
    outcomes = [judge(Task("choice", answer, "12"))[0].outcome for answer in (r"\boxed{12}", r"\boxed{B}", "nothing")]
    assert outcomes == ["unparsable_reference"] * 3


@pytest.mark.parametrize("run", [" ", "(", "A", "A.", "(A)", "option ", "\\ ", "\\text{", "and "])
def test_reading_a_choice_takes_time_linear_in_the_text(run):
    started = time.process_time()
    for frame in ("%s", "A%s", "(A) %s", "option A%s"):
        read_choice(normalise(frame % (run * (20_000 // len(run)))))
    assert time.process_time() - started < 1.0  # about 0.02 s; quadratic would be minutes


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=40), st.text(r"ABC().:, \\{}and or", max_size=40)))
def test_every_text_chooses_or_does_not(judge, answer):
    (verdict,) = judge(Task("choice", rf"\boxed{{{answer}}}", "B"))
    assert verdict.outcome in ("correct", "wrong", "no_answer")
