r"""One spelling for an answer."""

import time

import pytest

from vr.verify.math.normalise import normalise, words


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("½", r"\frac{1}{2}"),
        ("√2", r"\sqrt{2}"),
        (r"\dfrac12", r"\frac{1}{2}"),
        (r"\frac{1}2", r"\frac{1}{2}"),
        ("１２", "12"),
        ("6\u200b0", "60"),
        ("10,000", "10000"),
        ("10{,}000", "10000"),
        (r"10\,000", "10000"),
        ("1,2", "1,2"),
        ("x²", "x^{2}"),
        ("$5$", "5"),
        ("5.", "5"),
        (r"12.5 \text{ percent}", r"12.5 \%"),
        (r"\left[0,1\right)", "[0,1)"),
        (r"\boxed{\boxed{4}}", "4"),
        (r"\text{(073)}", "(073)"),
        (r"f^{\prime}(x)", "f'(x)"),
        (r"5\newline\\", "5"),
    ],
)
def test_one_spelling(text, spelling):
    assert normalise(text).replace(" ", "") == spelling.replace(" ", "")


def test_words_lose_markup_case_and_final_punctuation():
    assert words(r"\text{Not Even}.") == "not even"


RUNS = (
    *" \n1aA\\{}()[],.$^_'!|-=&~%√½é٥",
    r"\sqrt",
    r"\text{",
    r"\frac",
    r"\[",
    r"\quad",
    "1 ",
    "a,",
    "√(",
    r"\mathbb ",
    "x^",
    "\\\\",
)


@pytest.mark.parametrize("run", RUNS)
def test_normalising_takes_time_linear_in_the_text(run):
    started = time.process_time()
    for frame in ("%s", "x%s!", "1%s1", "(%s)", r"\text{%s}"):
        words(normalise(frame % (run * (20_000 // len(normalise(run) or run)))))
    assert time.process_time() - started < 2.0  # about 0.1 s; quadratic would be minutes
