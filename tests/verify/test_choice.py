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


@pytest.mark.parametrize(
    ("solution", "letter"),
    [
        (r"\boxed{\text{(B)}}", "B"),
        (r"\boxed{\mathbf{B}}", "B"),
        (r"\boxed{B. 12}", "B"),
        (r"\boxed{B: \frac{1}{2}}", "B"),
        (r"\boxed{\text{(B) } 5^{2}}", "B"),
        (r"\boxed{\text{(B) Co^{2+} and Ag^{+}}}", "B"),  # braces inside the text
        (r"\boxed{B (12 m/s)}", "B"),
        (r"\boxed{(E) I, II and III}", "E"),  # the option's text names letters of its own
        (r"\boxed{(C) A. thaliana}", "C"),
        (r"\boxed{C. (A) 2.64 gallons (B) 9.46 liters}", "C"),
        (r"\boxed{(H) G ⊃ E}", "H"),
        (r"\boxed{b}", "B"),
        (r"\boxed{\text{(b)}}", "B"),
        (r"\boxed{The answer is I}", "I"),
        ("The answer is B because A is too small.", "B"),
        ("The answer is (J), since I is wrong", "J"),
        ("**Answer:** (B) 12 m/s", "B"),
        ("The answer is option B.", "B"),
        ("The correct option is B.", "B"),
        ("Option (b)", "B"),
        ("J) 5", "J"),
    ],
)
def test_the_letter_that_a_solution_chooses(judge, solution, letter):
    (verdict,) = judge(Task("choice", solution, letter))
    assert (verdict.outcome, verdict.detail) == ("correct", f"chose {letter}")


@pytest.mark.parametrize(
    "solution",
    [
        "The answer is a man.",
        "The answer is A man.",
        "The answer is I think B",
        r"\boxed{A man}",
        r"\boxed{a man}",
        r"\boxed{I do not know}",
        r"\boxed{answer: A man}",
        r"\boxed{option a man}",
        r"\boxed{A (B)(C)}",
        r"\boxed{(A)(B)(C)(D)}",
        r"\boxed{A (or B)}",
        r"\boxed{A (x) and B (y)}",
        r"\boxed{the answer is A, B}",
        r"\boxed{A(4,2)}",
        r"\boxed{K}",
    ],
)
def test_an_article_a_pronoun_and_several_letters_choose_nothing(judge, solution):
    verdicts = judge(Task("choice", solution, "A"), Task("choice", solution, "I"))
    assert [verdict.detail for verdict in verdicts] == ["no single letter chosen"] * 2


@pytest.mark.parametrize("answer", ["A man", "A or B", "(A) and (C)", "K", "", "12", "Ab", "a", "f(x)"])
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


@pytest.mark.parametrize(
    "run", [" ", "(", "A", "A.", "(A)", "option ", "\\ ", "\\text{", "and ", "(x", "()", ":", "the ", "is "]
)
def test_reading_a_choice_takes_time_linear_in_the_text(run):
    started = time.process_time()
    for frame in ("%s", "A%s", "(A) %s", "A (%s", "A (%s)!", "option A%s", "option%s", r"\text{%s}"):
        read_choice(normalise(frame % (run * (20_000 // len(run)))))
    assert time.process_time() - started < 1.0  # about 0.02 s; quadratic would be minutes


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=40), st.text(r"ABC().:, \\{}and or", max_size=40)))
def test_every_text_chooses_or_does_not(judge, answer):
    (verdict,) = judge(Task("choice", rf"\boxed{{{answer}}}", "B"))
    assert verdict.outcome in ("correct", "wrong", "no_answer")
