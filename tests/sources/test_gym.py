"""Promises of reasoning_gym's generators as a source of training questions and as benchmarks."""

import json
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from vr import verify
from vr.renderers.markers import split_response
from vr.settings.params import GymBenchmark
from vr.settings.sources import Gym
from vr.sources import gym
from vr.sources.loaded import COLUMNS

STRINGS = ("string_manipulation", "string_splitting", "string_synthesis")


def training(*names: str, rows: int = 30, seed: int = 0) -> pl.DataFrame:
    return gym.load(Gym(datasets={name: {} for name in names or ("gsm_symbolic",)}, rows=rows, seed=seed)).problems


def held_out(name: str, questions: int = 30, seed: int = 0, **config: Any) -> pl.DataFrame:
    return gym.benchmark(f"gym_{name}", GymBenchmark(questions=questions, seed=seed, config=config))


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


@pytest.mark.parametrize("name", gym.TEACHERS)
def test_training_and_benchmark_share_no_question_whatever_their_seeds(name):
    trained = set(training(name, rows=100)["question"])
    assert len(trained) == 100
    assert all(trained.isdisjoint(held_out(name, seed=seed)["question"]) for seed in range(3))


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
    # crc32 % 10 is 0 or 1, a bucket of the benchmark's, for some of the 20 even numbers; the others are for training
    solutions = training("string_manipulation", rows=10)["solution"]
    assert all(split_response(solution)[1] == r"\boxed{a}" for solution in solutions)


def test_a_benchmark_takes_a_generator_without_worked_solutions_and_its_configuration():
    rows = held_out("chain_sum", questions=5, min_terms=2, max_terms=2, min_digits=1, max_digits=1)
    assert rows["solution"].null_count() == 5
    assert rows["problem_id"].to_list() == [f"gym_chain_sum/test/{n}" for n in range(5)]
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
        ({"string_splitting": {}}, 1000, "1000 questions asked for: the generator has only 1"),
    ],
)
def test_what_a_generator_cannot_do_is_one_line_that_names_the_entry(datasets, rows, says):
    with pytest.raises(ValueError) as raised:
        gym.load(Gym(datasets=datasets, rows=rows, seed=0))
    assert str(raised.value).startswith("params.yaml: problems.gym.datasets")
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_generator_is_named():
    with pytest.raises(ValueError, match=r"^params\.yaml: benchmark\.gym_nothing: .* no generator 'nothing'$"):
        held_out("nothing")
