r"""Property tests: whatever an answer is, the checker decides on it, within its limits and as an answer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verify.math.pairs import PAIRS
from vr.verify import Task

REFERENCES = (
    "5",
    r"\frac{3\sqrt{5}}{7}",
    "x^2+1",
    r"\{1,2\}",
    "(1,-2)",
    r"(-\infty,3)\cup[4,5)",
    "x<4",
    "y=3x-2",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    r"x \equiv 3 \pmod 7",
    "12_3",
    r"50\%",
    r"30^\circ",
    r"5\text{ cm}",
    r"\text{east}",
    "C",
    r"1 \pm \sqrt{2}",
    r"\binom{n}{2}",
    "3+2i",
    r"\triangle ABC",
)
"""One for each way of comparing."""
_ATOMS = (
    *("0", "7", "999", "9999", "123456789", "0.5", "1e9999", "x", "n", "i", "e", "A", "x_1", "10_{2}", "5!", "", " "),
    *(r"\pi", r"\infty", r"\theta", r"\emptyset", r"\mathbb{R}", r"\text{or}", r"\ldots", "½", "√", "∞", "'", r"\%"),
)
_SIGNS = (
    *("+", "-", "*", "/", "^", "_", "=", "<", ",", ";", ":", "!", "|", "&", r"\\", " or ", r"\cdot ", r"\le ", r"\ne "),
    *(r"\pm ", r"\cup ", r"\cap ", r"\in ", r"\equiv ", r"\pmod ", r"\approx ", r"\setminus "),
)
_ROUND_ONE = (
    *("(%s)", "{%s}", "|%s|", "-%s", "(%s)!", r"\sqrt{%s}", r"\sin %s", r"\log_2 %s", r"\lfloor %s\rfloor", "f(%s)"),
    *(
        r"\text{%s}",
        r"\overline{%s}",
        r"\Gamma(%s)",
        r"\operatorname{eye}(%s)",
        "(%s)^{9999}",
        "(%s)^{n}",
        r"\boxed{%s}",
    ),
)
_ROUND_TWO = (
    *(r"\frac{%s}{%s}", "%s^{%s}", r"\binom{%s}{%s}", "(%s,%s)", "[%s,%s)", r"\{%s,%s\}", r"\sqrt[%s]{%s}", "%s%s"),
    *(r"\begin{pmatrix}%s\\%s\end{pmatrix}", r"\begin{vmatrix}%s&%s\\1&2\end{vmatrix}", r"\sum_{n=1}^{%s} %s"),
)


def larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(smaller, st.sampled_from(_SIGNS), smaller).map("".join),
        st.builds(lambda frame, one: frame % one, st.sampled_from(_ROUND_ONE), smaller),
        st.builds(lambda frame, one, two: frame % (one, two), st.sampled_from(_ROUND_TWO), smaller, smaller),
        st.builds(lambda sign, times, one: sign * times + one, st.sampled_from(_SIGNS), st.integers(2, 60), smaller),
    )


GRAMMAR = st.recursive(st.sampled_from(_ATOMS), larger, max_leaves=14)
RAW = st.one_of(st.text(st.characters(), max_size=60), st.text(r"{}()[]|\$^_,.; 1x", max_size=200))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A real answer with some of its text cut, doubled, or replaced."""
    text = draw(st.sampled_from([answer for _, _, answer, _ in PAIRS]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 6)))
        middle = draw(st.one_of(st.just(text[start:end] * 20), st.sampled_from(_ATOMS + _SIGNS), st.characters()))
        text = text[:start] + middle + text[end:]
    return text


def assert_decided(judge, reference: str, answer: str) -> None:
    (verdict,) = judge(Task("math", rf"\boxed{{{answer}}}", reference))
    assert verdict.outcome in ("correct", "wrong", "no_answer")
    assert not verdict.detail.startswith("the answer ")  # the worker's limits, which are but a backstop
    assert verdict.cpu_seconds < 2.0


def always(examples: int) -> settings:
    """The same examples in every run."""
    suppressed = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=suppressed
    )


@always(150)
@given(st.sampled_from(REFERENCES), GRAMMAR)
def test_every_formula_is_decided_within_the_limits(judge, reference, answer):
    assert_decided(judge, reference, answer)


@always(200)
@given(st.sampled_from(REFERENCES), mutated())
def test_every_mutated_answer_is_decided_within_the_limits(judge, reference, answer):
    assert_decided(judge, reference, answer)


@always(200)
@given(st.sampled_from(REFERENCES), RAW)
def test_every_text_is_decided_within_the_limits(judge, reference, answer):
    assert_decided(judge, reference, answer)


@pytest.mark.slow
@always(1500)
@given(st.sampled_from(REFERENCES), st.one_of(GRAMMAR, mutated(), RAW))
def test_a_flood_of_answers_is_decided_within_the_limits(judge, reference, answer):
    assert_decided(judge, reference, answer)


@always(100)
@given(GRAMMAR)
def test_a_reference_is_readable_or_not_whatever_the_answer_is(judge, reference):
    same, other = judge(*(Task("math", rf"\boxed{{{answer}}}", reference) for answer in (reference, "no such answer")))
    assert (same.outcome == "unparsable_reference") == (other.outcome == "unparsable_reference")
