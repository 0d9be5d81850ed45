"""Verdicts on tables of text: every row gets its own verdict, and equal answers are judged once."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vr import verify
from vr.execution import resume
from vr.method import judging
from vr.settings.machine import Machine
from vr.tables import schemas


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[verify.Task]:
    """The tasks that reach the verifiers, which find an answer correct if it equals the reference.

    The answers `crashed` and `timeout` have that outcome.
    """
    seen: list[verify.Task] = []

    def stand_in(tasks: Iterable[verify.Task], **_: Any) -> Iterator[verify.Verdict]:
        for task in tasks:
            seen.append(task)
            outcome = "no_answer" if task.answer is None else "correct" if task.answer == task.reference else "wrong"
            if task.answer in judging.CHECKER_FAILED:
                outcome = task.answer
            yield verify.Verdict(outcome, "no sandbox" if outcome == "crashed" else "", 1.0, 2.0, "worker")

    monkeypatch.setattr(verify, "verify", stand_in)
    return seen


def asked(*rows: tuple[str, int, str, str, str]) -> pl.DataFrame:
    """Answers: problem, sample, text, finish, reference."""
    frame = pl.DataFrame(rows, ["problem_id", "sample", "text", "finish", "reference"], orient="row")
    return frame.with_columns(seed=0, verifier=pl.lit("math"), tests=pl.lit(None, pl.String))


def test_equal_answers_to_a_question_are_judged_once_and_every_answer_has_its_verdict(
    judged: list[verify.Task],
) -> None:
    answers = asked(
        ("a", 0, "5", "marker", "5"), ("a", 1, "4", "marker", "5"), ("a", 2, "5", "marker", "5"),
        ("a", 3, "5", "length", "5"), ("b", 0, "4", "marker", "4"), ("b", 1, "4", "marker", "4"),
    )  # fmt: skip
    rows = dict(judging.answers(answers, [0, 1, 2, 3, 4, 5], Machine()))
    assert [rows[index]["outcome"] for index in range(6)] == [
        "correct", "wrong", "correct", "no_answer", "correct", "correct",
    ]  # fmt: skip
    assert [(task.answer, task.reference) for task in judged] == [("5", "5"), ("4", "5"), (None, "5"), ("4", "4")]
    assert [rows[index]["cpu_seconds"] for index in range(6)] == [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    assert rows[2] | {"problem_id": "a", "seed": 0, "sample": 2} == rows[2]


def test_only_the_asked_answers_are_judged(judged: list[verify.Task]) -> None:
    answers = asked(("a", 0, "5", "marker", "5"), ("a", 1, "4", "marker", "5"), ("b", 0, "4", "marker", "4"))
    assert [index for index, _ in judging.answers(answers, [1, 2], Machine())] == [1, 2]
    assert [task.answer for task in judged] == ["4", "4"]


@pytest.mark.usefixtures("judged")
def test_answers_on_which_the_checker_failed_come_last_and_are_said_if_they_are_few(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = asked(*(("a", sample, text, "marker", "5") for sample, text in enumerate(["crashed", "5", "4"])))
    assert [index for index, _ in judging.answers(answers, [0, 1, 2], Machine())] == [1, 2, 0]
    first = "{'problem_id': 'a', 'seed': 0, 'sample': 0}: no sandbox"
    assert caplog.messages == [f"the checker failed on 1 of 3 answers (crashed 1), the first: {first}"]


@pytest.mark.usefixtures("judged")
def test_a_checker_that_fails_on_more_than_one_answer_in_a_hundred_is_an_error_and_no_failure_is_saved() -> None:
    texts = ["crashed", "5", "timeout", "crashed", *["5"] * 196, "4"]  # 3 of 201
    answers = asked(*(("a", sample, text, "marker", "5") for sample, text in enumerate(texts)))
    saved = []
    with pytest.raises(RuntimeError) as error:
        saved.extend(index for index, _ in judging.answers(answers, range(201), Machine()))
    assert saved == [1]
    assert str(error.value) == (
        "too many failures: the checker failed on 3 of 201 answers (crashed 2, timeout 1), the first: {'problem_id':"
        " 'a', 'seed': 0, 'sample': 0}: no sandbox"
    )


@pytest.mark.usefixtures("judged")
def test_a_later_run_over_the_failures_alone_counts_them_against_the_whole_table() -> None:
    texts = ["crashed", "timeout", *["5"] * 198]
    answers = asked(*(("a", sample, text, "marker", "5") for sample, text in enumerate(texts)))
    rows = list(judging.answers(answers, [0, 1], Machine()))
    assert [row["outcome"] for _, row in rows] == ["crashed", "timeout"]  # 2 of 200 may stand


def test_what_was_judged_before_the_checker_failed_too_often_is_judged_no_more(
    judged: list[verify.Task], tmp_path: Path
) -> None:
    texts = ["5", "crashed", "timeout", "4"]
    answers = asked(*(("a", sample, text, "marker", "5") for sample, text in enumerate(texts)))

    def judge(frame: pl.DataFrame) -> None:
        resume.write(
            tmp_path / "work", 4, lambda indices: judging.answers(frame, indices, Machine()),
            tmp_path / "out.parquet", schemas.Verifications, shard_rows=256,
        )  # fmt: skip

    with pytest.raises(RuntimeError, match="the checker failed on 2 of 4 answers"):
        judge(answers)
    judged.clear()
    mended = answers.with_columns(text=pl.Series(["5", "5", "3", "4"]))  # on which the checker does not fail any more
    judge(mended)
    assert [task.answer for task in judged] == ["5", "3", "4"]
    assert pl.read_parquet(tmp_path / "out.parquet")["outcome"].to_list() == ["correct", "correct", "wrong", "wrong"]


@pytest.mark.usefixtures("judged")
def test_the_same_holds_for_the_responses_to_a_benchmark() -> None:
    held_out = asked(*(("a", sample, "", "", "5") for sample in range(3)))
    drawn = pl.DataFrame({"text": ["crashed"] * 3, "response_tokens": [1] * 3, "finish": ["eos"] * 3})
    with pytest.raises(RuntimeError, match=r"failed on 2 of 3 answers \(crashed 2\), the first: .'problem_id': 'a'"):
        list(judging.responses(held_out, drawn, [0, 1, 2], Machine(), boxed_without_solution=True))


def test_a_response_is_judged_by_its_solution_part_and_says_so(judged: list[verify.Task]) -> None:
    held_out = asked(("a", 0, "", "", "5"), ("a", 1, "", "", "5"), ("a", 2, "", "", "5"))
    drawn = pl.DataFrame(
        {
            "text": ["x<|begin_of_solution|>\n\n5\n\n<|end_of_solution|>", "thinking \\boxed{5} and so", "cut off"],
            "response_tokens": [3, 4, 5],
            "finish": ["marker", "length", "length"],
        }
    )
    rows = [row for _, row in judging.responses(held_out, drawn, [0, 1, 2], Machine(), boxed_without_solution=True)]
    assert [row["judged"] for row in rows] == ["solution", "box", "nothing"]
    assert [task.answer for task in judged] == ["5", "\\boxed{5}", None]
    assert [row["response_tokens"] for row in rows] == [3, 4, 5]
    rows = [row for _, row in judging.responses(held_out, drawn, [0, 1, 2], Machine(), boxed_without_solution=False)]
    assert [row["judged"] for row in rows] == ["solution", "nothing", "nothing"]


@pytest.mark.usefixtures("judged")
def test_own_solutions_are_judged_and_those_without_one_left_out() -> None:
    format_ = "<|begin_of_thought|>z<|end_of_thought|><|begin_of_solution|>{}<|end_of_solution|>"
    questions = asked(("a", 0, "", "", "5"), ("b", 0, "", "", "5"), ("c", 0, "", "", "5")).with_columns(
        solution=pl.Series([format_.format("5"), format_.format("4"), None])
    )
    checked = judging.self_check(questions, Machine())
    assert checked.rows() == [("a", "correct", ""), ("b", "wrong", "")]


@pytest.mark.usefixtures("judged")
def test_a_checker_that_fails_on_own_solutions_is_an_error_before_the_long_work() -> None:
    solution = "<|begin_of_thought|>z<|end_of_thought|><|begin_of_solution|>crashed<|end_of_solution|>"
    questions = asked(("a", 0, "", "", "5"), ("b", 0, "", "", "5")).with_columns(solution=pl.lit(solution))
    with pytest.raises(RuntimeError, match=r"failed on 2 of 2 answers .*'problem_id': 'a'.: no sandbox"):
        judging.self_check(questions, Machine())
    one, other = judging.self_check(questions.head(1), Machine()), questions.head(0)
    assert one.rows() == [("a", "crashed", "no sandbox")]
    assert judging.self_check(other, Machine()).is_empty()


def test_no_answers_have_no_verdicts(judged: list[verify.Task]) -> None:
    assert list(judging.answers(asked(("a", 0, "5", "marker", "5")), [], Machine())) == []
    assert judged == []
