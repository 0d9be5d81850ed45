r"""Mathematical answers: labelled pairs, floods, and text that must never be run as Python."""

import json
from pathlib import Path

import pytest

from tests.verify.math_pairs import PAIRS
from vr.verify import Task, Verdict, verify
from vr.verify.choice import read_choice
from vr.verify.exact import TooLargeError, exact_value

ROOT = Path(__file__).parents[2]
LABELLED = ROOT.parent / "shared" / "labelled" / "math_pairs.jsonl"


def as_solution(kind: str, answer: str) -> str:
    return answer if kind in ("no box", "several") else rf"So the answer is $\boxed{{{answer}}}$."


def judge(*pairs: tuple[str, str]) -> list[Verdict]:
    return list(verify([Task("math", answer, gold) for gold, answer in pairs]))


def test_own_labelled_pairs_are_judged_as_labelled():
    verdicts = judge(*((gold, as_solution(kind, answer)) for kind, gold, answer, _ in PAIRS))
    failures = [
        (*pair, verdict.outcome)
        for pair, verdict in zip(PAIRS, verdicts, strict=True)
        if (verdict.outcome == "correct") != pair[3]
    ]
    assert failures == []


@pytest.mark.skipif(not LABELLED.exists(), reason="the labelled set math_pairs.jsonl is not on this machine")
def test_labelled_set_at_most_4_false_equal_at_least_255_right_none_over_3_seconds():
    rows = [json.loads(line) for line in LABELLED.read_text().splitlines()]
    verdicts = judge(*((row["gold"], row["pred"]) for row in rows))
    found = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    false_equal = [row for row, verdict in found if verdict.outcome == "correct" and not row["equal"]]
    right = [row for row, verdict in found if (verdict.outcome == "correct") == row["equal"]]
    assert len(false_equal) <= 4
    assert len(right) >= 255
    assert max(verdict.cpu_seconds for verdict in verdicts) < 3.0


def test_model_text_is_never_evaluated_as_python(tmp_path):
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
    verdicts = judge(*pairs)
    assert not target.exists()
    assert all(verdict.outcome != "correct" for verdict in verdicts)


def test_a_reference_without_an_answer_is_unparsable_and_not_wrong():
    empty = ["", "  ", r"\boxed{}", "$$", r"\frac{}{}", "We conclude that \\boxed{", "?" * 2000, "see @ the # figure"]
    outcomes = [verdict.outcome for verdict in judge(*((gold, r"\boxed{5}") for gold in empty))]
    assert outcomes == ["unparsable_reference"] * len(empty)


def test_a_solution_that_names_no_answer_has_none():
    silent = ["", "   ", "I cannot solve this.", "After step 5 I gave up", r"\boxed{}", r"$\boxed{", "5"]
    outcomes = [verdict.outcome for verdict in judge(*(("5", text) for text in silent))]
    assert outcomes == ["no_answer"] * len(silent)
    assert next(verify([Task("math", None, "5")])).outcome == "no_answer"


def test_a_whole_reference_solution_is_read_by_its_box():
    solution = r"First $\boxed{2}$ cases. Adding, we get $\boxed{\frac{3}{4}}$."
    assert [v.outcome for v in judge((solution, r"\boxed{0.75}"), (solution, r"\boxed{2}"))] == ["correct", "wrong"]


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


@pytest.mark.parametrize("gold", ["x^2+1", "\\{1,2\\}"])
def test_bad_text_is_judged_and_nothing_hangs(gold):
    verdicts = judge(*((gold, text) for text in BAD_TEXT.values()))
    outcomes = {name: verdict.outcome for name, verdict in zip(BAD_TEXT, verdicts, strict=True)}
    allowed = {"wrong", "no_answer", "timeout", "crashed"}
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in allowed} in (
        {},
        {"NUL bytes": "correct"},
    )
    assert max(verdict.cpu_seconds for verdict in verdicts) < 3.2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{3}{4}", 0.75),
        ("2\\frac{1}{2}", 2.5),  # a mixed number
        ("-2^{2}", -4),  # the sign binds less than the power
        ("2^{-1}", 0.5),
        ("5!", 120),
        (r"\binom{5}{2}", 10),
        (r"1.5\times 10^{3}", 1500),
        ("(1+2)(3)", 9),
        ("6/2/3", 1),
        (r"\sqrt{16}", 4),
        (r"0.\overline{3}+0.1\overline{6}", 0.5),  # 1/3 + 1/6
    ],
)
def test_exact_arithmetic(text, value):
    assert exact_value(text) == value


@pytest.mark.parametrize("text", ["x", "1 7", "1/0", r"\sqrt{2}", "2^{1/2}", "", "1+", "__import__('os')", "１"])
def test_what_is_not_plain_arithmetic_is_none(text):
    assert exact_value(text) is None


@pytest.mark.parametrize("text", ["9^{9^{9}}", "10^{10000000}", "999999!", r"\binom{1000000000}{500000000}"])
def test_numbers_past_the_bound_are_refused_at_once(text):
    with pytest.raises(TooLargeError):
        exact_value(text)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(B)", "B"), (r"\textbf{(B)}\ 12", "B"), ("B. 12", "B"), ("J", "J"), ("option C", "C")],
)
def test_the_letter_of_a_choice(answer, letter):
    from vr.verify.normalise import normalise

    choice = read_choice(normalise(answer))
    assert choice is not None
    assert choice[0] == letter


@pytest.mark.parametrize("answer", ["A man", "A or B", "(A) and (C)", "K", "", "12", "Ab"])
def test_what_chooses_no_single_letter(answer):
    assert read_choice(answer) is None


def test_choices_are_judged_by_letter():
    cases = [
        ("B", "The answer is (B).", "correct"),
        ("B", r"\boxed{\text{B}}", "correct"),
        (r"\text{(B)}", "**Answer: C**", "wrong"),
        ("B", r"\boxed{A or B}", "wrong"),
        ("B", "I do not know", "no_answer"),
        ("12", r"\boxed{B}", "unparsable_reference"),
        ("", r"\boxed{B}", "unparsable_reference"),
    ]
    verdicts = verify([Task("choice", answer, gold) for gold, answer, _ in cases])
    assert [verdict.outcome for verdict in verdicts] == [outcome for *_, outcome in cases]


@pytest.mark.slow
def test_reasoning_gym_uses_its_own_scorer():
    tests = json.dumps({"dataset": "chain_sum", "entry": {"question": "1 + 2 =", "answer": "3", "metadata": {}}})
    tasks = [
        Task("reasoning_gym", r"\boxed{3}", None, tests),
        Task("reasoning_gym", r"\boxed{4}", None, tests),
        Task("reasoning_gym", "", None, tests),
        Task("reasoning_gym", r"\boxed{3}", None, "{"),
        Task("reasoning_gym", r"\boxed{3}", None, '{"dataset": "no such", "entry": {"answer": "3"}}'),
        Task("reasoning_gym", r"\boxed{3}", None, '{"dataset": "chain_sum", "entry": 5}'),
    ]
    outcomes = [verdict.outcome for verdict in verify(tasks)]
    assert outcomes == ["correct", "wrong", "no_answer", *["unparsable_reference"] * 3]
