"""Promises of the embedded miniature's problems."""

import itertools
import json
import re
from typing import Any

import polars as pl
import pytest

from vr.renderers import markers
from vr.sources import miniature
from vr.tables import parquet, schemas

SIZES: dict[str, Any] = {"train": 400, "dev": 60, "test": 60, "programs": 0.2, "slips": 0.3, "guesses": 0.3, "seed": 7}


@pytest.fixture(scope="module")
def problems() -> pl.DataFrame:
    return miniature.problems(**SIZES)


def thoughts(frame: pl.DataFrame) -> list[str]:
    return [markers.split_response(solution)[0] for solution in frame["solution"]]


def answers(frame: pl.DataFrame) -> list[str]:
    return [markers.split_response(solution)[1] for solution in frame["solution"]]


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


def test_the_table_keeps_its_schema_and_the_sizes_asked_for(problems: pl.DataFrame) -> None:
    parquet.validate(problems, schemas.Problems, "problems")
    counts = dict(problems.group_by("split").len().iter_rows())
    assert counts == {split: SIZES[split] for split in ("train", "dev", "test")}
    assert problems.filter(pl.col("split") != "train")["benchmark"].unique().to_list() == ["miniature"]


def test_no_question_stands_twice_in_one_split_or_in_two(problems: pl.DataFrame) -> None:
    assert problems["question"].n_unique() == problems.height


def test_the_share_of_programs_is_as_asked_in_each_split(problems: pl.DataFrame) -> None:
    shares = problems.group_by("split").agg((pl.col("source") == "programs").mean())["source"]
    assert shares.to_list() == pytest.approx([0.2] * 3)


def test_the_shares_of_slips_and_guesses_are_near_those_asked() -> None:
    frame = sums(miniature.problems(**SIZES | {"train": 2000, "programs": 0.0, "dev": 1, "test": 1}))
    texts = thoughts(frame)
    guesses = [text in miniature.GUESSES for text in texts]
    slips = [wrong_steps(text) == 1 for text, guess in zip(texts, guesses, strict=True) if not guess]
    assert sum(guesses) / len(texts) == pytest.approx(0.3, abs=0.04)
    assert sum(slips) / len(texts) == pytest.approx(0.3, abs=0.04)


def test_shares_of_nought_and_one_leave_a_single_quality() -> None:
    clean = miniature.problems(**SIZES | {"slips": 0.0, "guesses": 0.0})
    assert not any(text in miniature.GUESSES for text in thoughts(clean))
    assert {wrong_steps(text) for text in thoughts(sums(clean))} == {0}
    assert {wrong_steps(text) for text in thoughts(sums(miniature.problems(**SIZES | {"slips": 1.0, "guesses": 0.0})))}
    guesses = miniature.problems(**SIZES | {"slips": 0.0, "guesses": 1.0})
    assert set(thoughts(guesses)) == set(miniature.GUESSES)


def test_a_slip_is_one_wrong_step_that_is_carried_to_the_end() -> None:
    frame = sums(miniature.problems(**SIZES | {"slips": 1.0, "guesses": 0.0}))
    for thought, reference in zip(thoughts(frame), frame["reference"], strict=True):
        lines = thought.splitlines()
        assert wrong_steps(thought) == 1
        assert lines[-1].split("=")[1] != reference
        for line, following in itertools.pairwise(lines):
            assert re.split(r"[+-]", following)[0] == line.split("=")[1]


def test_every_sum_is_scored_right_by_reasoning_gyms_own_scorer(problems: pl.DataFrame) -> None:
    import reasoning_gym

    scorer = reasoning_gym.create_dataset("chain_sum", size=1, seed=0)
    for row in sums(problems).iter_rows(named=True):
        assert str(eval(row["question"].removeprefix("Compute ").removesuffix("."))) == row["reference"]
        assert scorer.score_answer(row["reference"], {"answer": row["reference"], "metadata": {}}) == 1.0


def test_the_answer_of_a_sum_is_its_boxed_reference_in_every_quality(problems: pl.DataFrame) -> None:
    frame = sums(problems)
    assert answers(frame) == [f"\\boxed{{{reference}}}" for reference in frame["reference"]]


def test_every_program_passes_its_own_tests_in_every_quality(problems: pl.DataFrame) -> None:
    frame = problems.filter(pl.col("source") == "programs")
    for answer, tests in zip(answers(frame), frame["tests"], strict=True):
        assert len(json.loads(tests)["inputs"]) >= 4
        assert run_program(answer, tests)


def test_a_clean_thought_about_a_program_ends_in_the_form_that_the_answer_has() -> None:
    frame = miniature.problems(**SIZES | {"programs": 1.0, "train": 100, "slips": 0.0, "guesses": 0.0})
    for thought, answer in zip(thoughts(frame), answers(frame), strict=True):
        factor, constant = thought.rpartition("=")[2].split("x+")
        assert f"return {factor} * x + {constant}\n" in answer


def test_the_same_seed_gives_the_same_problems_and_another_seed_others(problems: pl.DataFrame) -> None:
    assert miniature.problems(**SIZES).equals(problems)
    assert not miniature.problems(**SIZES | {"seed": 8}).equals(problems)


def test_the_first_problems_of_a_split_do_not_depend_on_any_size(problems: pl.DataFrame) -> None:
    smaller = miniature.problems(**SIZES | {"train": 100, "dev": 1})
    train = pl.col("split") == "train"
    assert smaller.filter(train).equals(problems.filter(train).head(100))
    test = pl.col("split") == "test"
    assert smaller.filter(test).equals(problems.filter(test))


def test_more_programs_than_there_are_is_an_error_with_the_number() -> None:
    with pytest.raises(ValueError, match=r"problems\.dev = 100000: programs has only \d+ questions"):
        miniature.problems(**SIZES | {"dev": 100_000, "programs": 1.0, "train": 1})
