r"""Mathematical answers: labelled pairs, floods, and text that must never be run as Python."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.math.pairs import PAIRS
from vr.verify import Task, Verdict

LABELLED = Path(__file__).with_name("labelled_pairs.jsonl.gz")
"""266 pairs: the reference `gold`, the solution `pred`, whether they are `equal`, and the `kind` of the pair. Pairs
whose kind ends in ":policy" could be judged either way."""


def as_solution(kind: str, answer: str) -> str:
    return answer if kind in ("no box", "several") else rf"So the answer is $\boxed{{{answer}}}$."


@pytest.fixture
def judge_pairs(judge: Callable[..., list[Verdict]]) -> Callable[..., list[Verdict]]:
    """Judges pairs (gold, answer)."""
    return lambda *pairs: judge(*(Task("math", answer, gold) for gold, answer in pairs))


def test_own_labelled_pairs_are_judged_as_labelled(judge_pairs):
    verdicts = judge_pairs(*((gold, as_solution(kind, answer)) for kind, gold, answer, _ in PAIRS))
    failures = [
        (*pair, verdict.outcome)
        for pair, verdict in zip(PAIRS, verdicts, strict=True)
        if (verdict.outcome == "correct") != pair[3]
    ]
    assert failures == []


@pytest.mark.slow
def test_labelled_set_at_most_4_false_equal_at_least_255_right_none_over_3_seconds(judge_pairs):
    rows = [json.loads(line) for line in gzip.decompress(LABELLED.read_bytes()).splitlines()]
    verdicts = judge_pairs(*((row["gold"], row["pred"]) for row in rows))
    found = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    false_equal = [row for row, verdict in found if verdict.outcome == "correct" and not row["equal"]]
    right = [row for row, verdict in found if (verdict.outcome == "correct") == row["equal"]]
    assert len(false_equal) <= 4
    assert len(right) >= 255
    assert max(verdict.cpu_seconds for verdict in verdicts) < 3.0


def test_model_text_is_never_evaluated_as_python(judge_pairs, tmp_path):
    target = tmp_path / "made-by-answer"
    python = [
        f"open('{target}','w').write('x')",
        f"__import__('os').system('touch {target}')",
        f"__import__('pathlib').Path('{target}').touch()",
        f"(lambda: open('{target}','w'))()",
        f"\\text{{open('{target}','w')}}",
        f"exec(\"open('{target}','w')\")",
        f"[open('{target}','w') for x in (1,)]",
    ]
    pairs = [("5", rf"\boxed{{{text}}}") for text in python] + [(text, r"\boxed{5}") for text in python]
    pairs += [("x+1", f"The answer is {text}") for text in python]
    verdicts = judge_pairs(*pairs)
    assert not target.exists()
    assert all(verdict.outcome != "correct" for verdict in verdicts)


def test_a_reference_without_an_answer_is_unparsable_and_not_wrong(judge_pairs):
    empty = ["", "  ", r"\boxed{}", "$$", r"\frac{}{}", "We conclude that \\boxed{", "?" * 2000, "see @ the # figure"]
    outcomes = [verdict.outcome for verdict in judge_pairs(*((gold, r"\boxed{5}") for gold in empty))]
    assert outcomes == ["unparsable_reference"] * len(empty)


def test_a_solution_that_names_no_answer_has_none(judge_pairs):
    silent = ["", "   ", "I cannot solve this.", "After step 5 I gave up", r"\boxed{}", r"$\boxed{", "5"]
    outcomes = [verdict.outcome for verdict in judge_pairs(*(("5", text) for text in silent))]
    assert outcomes == ["no_answer"] * len(silent)
    assert judge_pairs(("5", None))[0].outcome == "no_answer"


def test_a_whole_reference_solution_is_read_by_its_box(judge_pairs):
    solution = r"First $\boxed{2}$ cases. Adding, we get $\boxed{\frac{3}{4}}$."
    assert [v.outcome for v in judge_pairs((solution, r"\boxed{0.75}"), (solution, r"\boxed{2}"))] == [
        "correct",
        "wrong",
    ]


BAD_TEXT = {
    "a 100 kB answer": "\\boxed{" + "1+" * 50_000 + "1}",
    "a 100 kB solution without a box": "x" * 100_000,
    "NUL bytes": "\\boxed{5\0}",
    "lone surrogates": "\\boxed{5\udcff\ud800}",
    "5,000 digits": "\\boxed{" + "7" * 5_000 + "}",
    "999 digits": "\\boxed{" + "7" * 990 + "}",
    "deep braces": "\\boxed{" + "{" * 400 + "5" + "}" * 400 + "}",
    "deep parentheses": "\\boxed{" + "(" * 450 + "5" + ")" * 450 + "}",
    "open braces": "{" * 50_000,
    "dollars": "$" * 50_000,
    "boxes": "\\boxed{" * 10_000,
    "anchors": "the answer is " * 5_000,
    "a flood of commands": "\\boxed{" + "\\sqrt" * 190 + "}",
    "a tower": "\\boxed{9^{9^{9^{9^{9}}}}}",
    "a factorial": "\\boxed{99999999!}",
    "a factorial of factorials": "\\boxed{((9!)!)!}",
    "a sum": "\\boxed{\\sum_{n=1}^{10^{18}} \\frac{1}{n}}",
    "an integral": "\\boxed{\\int_0^1 \\sin(x^x) dx}",
    "a product of powers": "\\boxed{" + "(x+1)^{99}" * 40 + "}",
    "nested fractions": "\\boxed{" + "\\frac{1}{1+" * 30 + "x" + "}" * 30 + "}",
    "many variables": "\\boxed{" + "+".join(f"x_{{{n}}}^{n}" for n in range(60)) + "}",
    "commas": "\\boxed{" + "1," * 490 + "1}",
}


@pytest.mark.parametrize("gold", [pytest.param("x^2+1", marks=pytest.mark.slow), "\\{1,2\\}"])
def test_bad_text_is_judged_and_nothing_hangs(judge_pairs, gold):
    verdicts = judge_pairs(*((gold, text) for text in BAD_TEXT.values()))
    outcomes = {name: verdict.outcome for name, verdict in zip(BAD_TEXT, verdicts, strict=True)}
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("wrong", "no_answer")} == {}
    assert max(verdict.cpu_seconds for verdict in verdicts) < 2.0
    assert all(verdict.detail.isprintable() for verdict in verdicts)


@pytest.mark.parametrize(
    "answer",
    [
        r"3 \pmod 7",
        "(2.5,i)",
        "i<0",
        "(x+y+z)^{9999}",
        "x+(9999^{9999})^{9999}",
        r"x+\binom{1000000000}{500000000}",
        r"\begin{pmatrix}\end{pmatrix}",
        "2^{n+1111111111111111}",
        "1e999999999",
        r"1+\gamma 99999999",
        r"\operatorname{zeros}(99999,99999)",
        r"\frac" * 200,
        "^{" * 200,
        r"\sqrt" * 200,
        "|" * 500,
        "-" * 900 + "5",
        "5" + "!" * 900,
        "(1," * 200 + "1" + ")" * 200,
        r"\sin" * 200 + "x",
        "1/1E0" + "/1" * 40,
        "x" + "/x" * 40,
        "\\" * 60 + "a",
        "." * 900 + "a",
        "ﷺ" * 900,
    ],
)
def test_no_answer_makes_itself_uncounted(judge_pairs, answer):
    boxed = rf"\boxed{{{answer}}}"
    verdicts = judge_pairs(("6", boxed), ("x^2+1", boxed), (r"(-\infty,4)", boxed), ("y=3x-2", boxed))
    assert {verdict.outcome for verdict in verdicts} <= {"wrong", "no_answer"}
    assert max(verdict.cpu_seconds for verdict in verdicts) < 2.0


def test_a_wrong_verdict_says_which_limit_the_answer_met(judge_pairs):
    details = {
        r"\sum_{n=1}^{9} n": r"\sum",
        "2^{9^{99}x}": "20,000 bits",
        "(" * 50 + "x" + ")" * 50: "40 levels",
        "7": "",
    }
    for answer, detail in details.items():
        (verdict,) = judge_pairs(("6", rf"\boxed{{{answer}}}"))
        assert verdict.outcome == "wrong"
        assert detail in verdict.detail


UNREADABLE = (
    r"\begin{cases} x & x>0 \\ -x & x\le 0\end{cases}",
    r"2\frac{1}{",
    "f(x)=ax, where a is an arbitrary integer",
    "x @ y",
    "(1," * 60 + "1" + ")" * 60,
    "1" * 1_001,
    "ﷺ" * 900,
)
"""References of which right answers have many spellings, or that are broken off, or too long."""


@pytest.mark.parametrize("gold", UNREADABLE)
def test_with_an_unreadable_reference_not_even_the_same_string_counts(judge_pairs, gold):
    verdicts = judge_pairs((gold, rf"\boxed{{{gold}}}"), (gold, r"\boxed{12345}"), (gold, "I do not know"))
    assert {verdict.outcome for verdict in verdicts} == {"unparsable_reference"}


NAMES = (
    *(
        r"\overline{AB}",
        r"\triangle ABC",
        r"A\cap B",
        r"\mathcal{O}(n)",
        r"3\text{ R }2",
        r"\forall x",
        "10:30",
        "f^{-1}",
    ),
    *(r"\langle 1,2\rangle", r"\|v\|", "3'4''", "H_2O", r"\clubsuit", "5!!", r"a\mid b", r"p\to q", r"\lnot p"),
    *(r"x \equiv 3 \pmod 7", r"\sum_{n=1}^{9} n"),
)


@pytest.mark.parametrize("gold", NAMES)
def test_with_a_reference_that_is_a_name_the_same_spelling_is_right_and_any_other_answer_wrong(judge_pairs, gold):
    verdicts = judge_pairs((gold, rf"\boxed{{{gold}}}"), (gold, r"\boxed{12345}"), (gold, "I do not know"))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong", "no_answer"]
