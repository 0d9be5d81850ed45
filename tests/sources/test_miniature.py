"""Promises of the embedded miniature's training questions and benchmarks."""

import itertools
import json
import re
import zlib
from typing import Any

import polars as pl
import pytest

from vr.renderers import markers
from vr.settings import params, sources
from vr.sources import miniature
from vr.sources.loaded import COLUMNS
from vr.tables import parquet, schemas

TRAIN = sources.Miniature(train=400, programs=0.2, slips=0.3, guesses=0.3, seed=7)
HELD_OUT = params.MiniatureBenchmark(questions=60, programs=0.2, seed=7)


def made(**changes: Any) -> pl.DataFrame:
    """Training questions with other settings."""
    loaded = miniature.load(TRAIN.model_copy(update=changes))
    assert loaded.left_out.is_empty()
    return loaded.problems


def held_out(name: str, **changes: Any) -> pl.DataFrame:
    """A benchmark with other settings."""
    return miniature.benchmark(name, HELD_OUT.model_copy(update=changes))


@pytest.fixture(scope="module")
def problems() -> pl.DataFrame:
    return made()


@pytest.fixture(scope="module")
def dev() -> pl.DataFrame:
    return held_out("miniature_dev")


@pytest.fixture(scope="module")
def reported() -> pl.DataFrame:
    return held_out("miniature_test")


@pytest.fixture(scope="module")
def all_questions(problems: pl.DataFrame, dev: pl.DataFrame, reported: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([problems, dev, reported], how="diagonal")


def thoughts(frame: pl.DataFrame) -> list[str]:
    return [markers.split_response(solution)[0] for solution in frame["solution"]]


def answers(frame: pl.DataFrame) -> list[str]:
    return [markers.split_response(solution)[1] for solution in frame["solution"]]


def digest(table: pl.DataFrame) -> int:
    """A number that stands for all ids and questions."""
    lines = (f"{problem_id} {question}" for problem_id, question in table.select("problem_id", "question").iter_rows())
    return zlib.crc32("\n".join(lines).encode())


def sums(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("source") == "chain_sum")


def run_program(answer: str, tests: str) -> bool:
    """Runs our own reference programs; a model's go through vr.verify."""
    code = re.fullmatch(r"```python\n(.*)\n```", answer, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    entry = json.loads(tests)
    pairs = zip(entry["inputs"], entry["outputs"], strict=True)
    return all(names[entry["fn_name"]](*arguments) == output for arguments, output in pairs)


def wrong_steps(thought: str) -> int:
    """Steps of a sum's thought that do not add up."""
    return sum(eval(left) != int(right) for left, right in (line.split("=") for line in thought.splitlines()))


def test_the_tables_keep_their_schemas_and_the_sizes_asked_for(
    problems: pl.DataFrame, dev: pl.DataFrame, reported: pl.DataFrame
) -> None:
    assert problems.schema == COLUMNS
    parquet.validate(problems.with_columns(self_check=None), schemas.Problems, "problems")
    parquet.validate(dev, schemas.Benchmark, "miniature_dev")
    parquet.validate(reported, schemas.Benchmark, "miniature_test")
    assert (problems.height, dev.height, reported.height) == (400, 60, 60)


def test_the_questions_and_their_ids_have_never_changed(
    problems: pl.DataFrame, dev: pl.DataFrame, reported: pl.DataFrame
) -> None:
    # Results of different versions can be compared only while they are about the same questions.
    first = [(table["problem_id"][0], table["question"][0]) for table in (problems, dev, reported)]
    assert first == [
        ("chain_sum-train-00000", "Compute 8+2+9+0-3."),
        ("chain_sum-dev-00000", "Compute 1+1+9-5."),
        ("chain_sum-test-00000", "Compute 4+0+3-7+2."),
    ]
    assert [digest(table) for table in (problems, dev, reported)] == [3656014218, 673651543, 3098561456]


def test_no_question_stands_twice_in_one_table_or_in_two(all_questions: pl.DataFrame) -> None:
    assert all_questions["question"].n_unique() == all_questions.height == 520
    assert all_questions["problem_id"].n_unique() == 520


def test_the_share_of_programs_is_as_asked_in_each_table(
    problems: pl.DataFrame, dev: pl.DataFrame, reported: pl.DataFrame
) -> None:
    shares = [(table["source"] == "programs").mean() for table in (problems, dev, reported)]
    assert shares == pytest.approx([0.2] * 3)


def test_the_shares_of_slips_and_guesses_are_near_those_asked() -> None:
    frame = sums(made(train=2000, programs=0.0))
    texts = thoughts(frame)
    guesses = [text in miniature.GUESSES for text in texts]
    slips = [wrong_steps(text) == 1 for text, guess in zip(texts, guesses, strict=True) if not guess]
    assert sum(guesses) / len(texts) == pytest.approx(0.3, abs=0.04)
    assert sum(slips) / len(texts) == pytest.approx(0.3, abs=0.04)


def test_shares_of_nought_and_one_leave_a_single_quality() -> None:
    clean = made(slips=0.0, guesses=0.0)
    assert not any(text in miniature.GUESSES for text in thoughts(clean))
    assert {wrong_steps(text) for text in thoughts(sums(clean))} == {0}
    assert {wrong_steps(text) for text in thoughts(sums(made(slips=1.0, guesses=0.0)))}
    guesses = made(slips=0.0, guesses=1.0)
    assert set(thoughts(guesses)) == set(miniature.GUESSES)


def test_a_slip_is_one_wrong_step_that_is_carried_to_the_end() -> None:
    frame = sums(made(slips=1.0, guesses=0.0))
    for thought, reference in zip(thoughts(frame), frame["reference"], strict=True):
        lines = thought.splitlines()
        assert wrong_steps(thought) == 1
        assert lines[-1].split("=")[1] != reference
        for line, following in itertools.pairwise(lines):
            assert re.split(r"[+-]", following)[0] == line.split("=")[1]


def test_every_sum_is_scored_right_by_reasoning_gyms_own_scorer(all_questions: pl.DataFrame) -> None:
    import reasoning_gym

    scorer = reasoning_gym.create_dataset("chain_sum", size=1, seed=0)
    for row in sums(all_questions).iter_rows(named=True):
        assert str(eval(row["question"].removeprefix("Compute ").removesuffix("."))) == row["reference"]
        assert scorer.score_answer(row["reference"], {"answer": row["reference"], "metadata": {}}) == 1.0


def test_the_answer_of_a_sum_is_its_boxed_reference_in_every_quality(all_questions: pl.DataFrame) -> None:
    frame = sums(all_questions)
    assert answers(frame) == [f"\\boxed{{{reference}}}" for reference in frame["reference"]]


def test_every_program_passes_its_own_tests_in_every_quality(all_questions: pl.DataFrame) -> None:
    frame = all_questions.filter(pl.col("source") == "programs")
    for answer, tests in zip(answers(frame), frame["tests"], strict=True):
        assert len(json.loads(tests)["inputs"]) >= 4
        assert run_program(answer, tests)


def test_a_clean_thought_about_a_program_ends_in_the_form_that_the_answer_has() -> None:
    frame = made(programs=1.0, train=100, slips=0.0, guesses=0.0)
    for thought, answer in zip(thoughts(frame), answers(frame), strict=True):
        factor, constant = thought.rpartition("=")[2].split("x+")
        assert f"return {factor} * x + {constant}\n" in answer


def test_held_out_questions_have_clean_thoughts(dev: pl.DataFrame, reported: pl.DataFrame) -> None:
    for table in (dev, reported):
        assert {wrong_steps(text) for text in thoughts(sums(table))} == {0}
        assert not any(text in miniature.GUESSES for text in thoughts(table))


def test_the_same_seed_gives_the_same_questions_and_another_seed_others(
    problems: pl.DataFrame, dev: pl.DataFrame
) -> None:
    assert made().equals(problems)
    assert not made(seed=8).equals(problems)
    assert held_out("miniature_dev").equals(dev)
    assert not held_out("miniature_dev", seed=8).equals(dev)


def test_the_first_questions_do_not_depend_on_how_many_there_are(
    problems: pl.DataFrame, reported: pl.DataFrame
) -> None:
    assert made(train=100).equals(problems.head(100))
    assert held_out("miniature_test", questions=7).equals(reported.head(7))


def test_more_questions_than_there_are_is_an_error_with_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniature, "_TRIES", 60)  # give up early
    with pytest.raises(
        ValueError, match=r"benchmark\.miniature_dev\.questions = 50000: programs has only \d+ questions"
    ):
        held_out("miniature_dev", questions=50_000, programs=1.0)
    with pytest.raises(
        ValueError, match=r"benchmark\.miniature_dev\.questions = 9000: chain_sum has only [1-9]\d* quest"
    ):
        held_out("miniature_dev", questions=9_000, programs=0.0)
    with pytest.raises(ValueError, match=r"problems\.miniature\.train = 50000: programs has only \d+ questions"):
        made(train=50_000, programs=1.0)
