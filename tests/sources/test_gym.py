"""Promises of reasoning_gym's generators as a source of training questions and as benchmarks."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import polars as pl
import pytest

from vr import verify
from vr.renderers.markers import split_response
from vr.settings.params import GymBenchmark
from vr.settings.sources import Gym
from vr.sources import gym
from vr.sources.loaded import COLUMNS
from vr.sources.wordings import IN_A_BOX

STRINGS = ("string_manipulation", "string_splitting", "string_synthesis")


def training(*names: str, rows: int = 30, seed: int = 0) -> pl.DataFrame:
    return gym.load(Gym(datasets={name: {} for name in names or ("gsm_symbolic",)}, rows=rows, seed=seed)).problems


def held_out(name: str, split: str = "test", questions: int = 30, seed: int = 0, **config: Any) -> pl.DataFrame:
    entry = {"generator": name, "split": split, "questions": questions, "seed": seed, "config": config}
    return gym.benchmark("gym_mine", GymBenchmark(**entry))


def numbers(question: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", question))


def pieces(questions: Iterable[str]) -> set[tuple[str, ...]]:
    """Six words in a row, with any number for a number."""
    texts = [question.removeprefix(IN_A_BOX).lower().split("give the result as your")[0] for question in questions]
    words = [re.findall(r"[a-z]+|#", re.sub(r"\d+", "#", text)) for text in texts]
    return {tuple(of[n : n + 6]) for of in words for n in range(len(of) - 5)}


@pytest.fixture(scope="module")
def drawn() -> dict[str, pl.DataFrame]:
    """Thousands of questions of each split of gsm_symbolic, with the number of each one's template."""
    from reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic import GSMSymbolicDataset

    templates: dict[str, int] = {}
    make = GSMSymbolicDataset.__getitem__

    def make_and_note(dataset: GSMSymbolicDataset, n: int) -> dict[str, Any]:
        entry = make(dataset, n)
        templates[IN_A_BOX + entry["question"].strip()] = dataset.task_indices[n]
        return entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GSMSymbolicDataset, "__getitem__", make_and_note)
        found = {"train": training(rows=6000)}
        found |= {split: held_out("gsm_symbolic", split, questions=2000) for split in ("dev", "test", "known")}
    return {
        split: table.with_columns(template=pl.col("question").replace_strict(templates))
        for split, table in found.items()
    }


def outcomes(problems: pl.DataFrame) -> list[str]:
    tasks = [
        verify.Task(verifier, split_response(solution)[1], reference, tests)
        for verifier, solution, reference, tests in problems.select(
            "verifier", "solution", "reference", "tests"
        ).iter_rows()
    ]
    return [verdict.outcome for verdict in verify.verify(tasks, workers=1)]


def test_an_entry_becomes_a_thought_an_answer_in_a_box_and_a_reference(monkeypatch):
    entry = {
        "question": "2 bags of 3 apples: how many? Do not include units. ",
        "answer": "6",
        "metadata": {"answer_cot": "There are 2 * 3 = 6 apples.\n#### 6.0"},
    }
    monkeypatch.setattr(gym, "_different", lambda *_: iter([entry]))
    (row,) = training(rows=1).rows(named=True)
    assert split_response(row["solution"]) == ("There are 2 * 3 = 6 apples.", r"\boxed{6}")
    asked = r"Return your final response within \boxed{}. 2 bags of 3 apples: how many? Do not include units."
    assert row["question"] == asked
    assert (row["verifier"], row["reference"], row["tests"]) == ("math", "6", None)
    assert (row["problem_id"], row["source"]) == ("gym_gsm_symbolic/train/0", "gym_gsm_symbolic")


def test_the_first_questions_are_the_same_for_every_number_of_rows_and_in_every_process():
    here = training(rows=50)
    assert here.head(20).equals(training(rows=20))
    assert not here.equals(training(rows=50, seed=1))
    program = (
        "from vr.settings.sources import Gym; from vr.sources import gym;"
        "print(gym.load(Gym(datasets={'gsm_symbolic': {}}, rows=50, seed=0)).problems.hash_rows().to_list())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(there) == here.hash_rows().to_list()


def test_the_first_questions_of_a_benchmark_are_the_same_for_every_number_of_them():
    assert held_out("gsm_symbolic", "dev", questions=50).head(20).equals(held_out("gsm_symbolic", "dev", questions=20))
    assert not held_out("gsm_symbolic", seed=1).equals(held_out("gsm_symbolic", seed=2))


def test_dev_and_test_have_templates_of_their_own(drawn):
    test = {0, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55, 60, 70, 75, 80, 85, 95}  # the generator lacks 35, 65 and 90
    dev = {1, 11, 21, 31, 41, 51, 71, 81, 91}  # and 61
    assert set(drawn["test"]["template"]) == test
    assert set(drawn["dev"]["template"]) == dev
    trained = set(drawn["train"]["template"])
    assert len(trained) == 85 - 17 - 9
    assert trained.isdisjoint(test | dev)


def test_templates_of_training_dev_and_test_have_no_six_words_in_a_row_in_common(drawn):
    train, dev, test = (pieces(drawn[split]["question"]) for split in ("train", "dev", "test"))
    assert train.isdisjoint(test) and train.isdisjoint(dev) and dev.isdisjoint(test)


def test_known_has_the_templates_of_training(drawn):
    assert set(drawn["known"]["template"]) == set(drawn["train"]["template"])


def test_no_two_splits_have_the_same_numbers_even_under_other_names(drawn):
    found = [set(map(numbers, table["question"])) for table in drawn.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(found, 2))


@pytest.mark.parametrize("name", gym.TEACHERS)
def test_no_two_splits_share_a_question_whatever_their_seeds(name):
    splits = ("dev", "test", "known") if name == "gsm_symbolic" else ("dev", "test")
    found = [[training(name, rows=100, seed=seed) for seed in range(3)]]
    found += [[held_out(name, split, questions=20, seed=seed) for seed in range(6)] for split in splits]
    asked = [{question for table in tables for question in table["question"]} for tables in found]
    assert len(asked[0]) >= 100
    assert all(one.isdisjoint(other) for one, other in combinations(asked, 2))


def test_no_two_splits_share_a_question_whatever_their_configurations():
    # two digits and a sign between them make 10 * 10 * 2 = 200 questions, of which both have many
    digits = {"min_terms": 2, "min_digits": 1, "max_digits": 1}
    dev = set(held_out("chain_sum", "dev", 10, max_terms=2, **digits)["question"])
    test = set(held_out("chain_sum", "test", 200, max_terms=3, **digits)["question"])
    assert len(dev) == 10 and sum(len(numbers(question)) == 2 for question in test) > 20
    assert dev.isdisjoint(test)


def test_several_generators_have_an_equal_share_each():
    sources = training("gsm_symbolic", *STRINGS[:2], rows=10)["source"].value_counts(sort=True)
    assert sources.rows() == [
        ("gym_gsm_symbolic", 4),
        ("gym_string_manipulation", 3),
        ("gym_string_splitting", 3),
    ]


def test_own_solutions_are_accepted_by_their_own_verifier():
    numbers, strings = training(rows=200), training(*STRINGS, rows=6)
    assert set(numbers["verifier"]) == {"math"} and set(strings["verifier"]) == {"reasoning_gym"}
    assert set(outcomes(numbers)) == set(outcomes(strings)) == {"correct"}


def test_a_worked_solution_of_states_ends_in_the_answer():
    for (solution,) in training("string_synthesis", rows=20).select("solution").iter_rows():
        thought, answer = split_response(solution)
        assert answer == f"\\boxed{{{thought.splitlines()[-1]}}}"


def test_an_entry_with_an_empty_answer_is_passed_over(monkeypatch):
    entries = [{"question": f"{n}?", "answer": "" if n % 2 else "a", "metadata": {"states": ["a"]}} for n in range(40)]
    monkeypatch.setattr(gym, "_entries", lambda *_: iter(entries))
    # of the 20 even numbers 15 are in training's buckets: their crc32 % 10 is 4 or more
    solutions = training("string_manipulation", rows=15)["solution"]
    assert all(split_response(solution)[1] == r"\boxed{a}" for solution in solutions)


def test_a_benchmark_takes_a_generator_without_worked_solutions_and_its_configuration():
    rows = held_out("chain_sum", questions=5, min_terms=2, max_terms=2, min_digits=1, max_digits=1)
    assert rows["solution"].null_count() == 5
    assert rows["problem_id"].to_list() == [f"gym_chain_sum/test/{n}" for n in range(5)]
    assert held_out("chain_sum", "dev", questions=1)["problem_id"].to_list() == ["gym_chain_sum/dev/0"]
    for tests in rows["tests"]:
        task = json.loads(tests)
        assert task["dataset"] == "chain_sum" and task["entry"]["metadata"]["num_terms"] == 2
    entry = json.loads(rows["tests"][0])["entry"]
    right = verify.Task("reasoning_gym", f"\\boxed{{{entry['answer']}}}", None, rows["tests"][0])
    assert [verdict.outcome for verdict in verify.verify([right], workers=1)] == ["correct"]


def test_a_training_table_has_every_column_of_a_source():
    assert training(rows=1).schema == COLUMNS


@pytest.mark.parametrize(
    ("datasets", "rows", "says"),
    [
        ({"chain_sum": {}}, 1, f"chain_sum has no worked solutions; gsm_symbolic, {', '.join(STRINGS)} have"),
        ({"gsm_symbolic": {"seed": 3}}, 1, "seed is no entry of the configuration: it is chosen here"),
        (
            {"gsm_symbolic": {"difficulty": 2.0}},
            1,
            "gsm_symbolic with {'difficulty': 2.0}: a value is out of its range",
        ),
        ({"gsm_symbolic": {"levels": 2}}, 1, "unexpected keyword argument 'levels'"),
        ({"string_splitting": {}}, 1000, "1000 questions asked for: string_splitting has only 1"),
    ],
)
def test_what_a_generator_cannot_do_is_one_line_that_names_the_entry(datasets, rows, says):
    with pytest.raises(ValueError) as raised:
        gym.load(Gym(datasets=datasets, rows=rows, seed=0))
    assert str(raised.value).startswith("params.yaml: problems.gym.datasets")
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("generator", "split", "says"),
    [
        ("nothing", "test", ".generator = 'nothing': reasoning_gym has no such generator"),
        ("chain_sum", "known", ".split = 'known': chain_sum has no templates; gsm_symbolic has"),
        ("string_splitting", "dev", ": 1000 questions asked for: string_splitting has only "),
    ],
)
def test_what_a_benchmark_cannot_have_is_one_line_that_names_the_entry(generator, split, says):
    with pytest.raises(ValueError) as raised:
        held_out(generator, split, questions=1000)
    assert str(raised.value).startswith(f"params.yaml: benchmark.gym_mine{says}") and "\n" not in str(raised.value)
