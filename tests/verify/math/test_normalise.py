r"""One spelling for an answer."""

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
    ],
)
def test_one_spelling(text, spelling):
    assert normalise(text).replace(" ", "") == spelling.replace(" ", "")


def test_words_lose_markup_case_and_final_punctuation():
    assert words(r"\text{Not Even}.") == "not even"
