"""Promises of the user's own table as a source of training questions."""

import json
from typing import Any

import polars as pl
import pytest

from vr import verify
from vr.renderers.markers import split_response
from vr.settings.sources import Table
from vr.sources import table
from vr.sources.loaded import COLUMNS

SUM = {
    "question": "What is 2 + 3?",
    "trace": "2 + 3 = 5.",
    "solution": r"It is \boxed{5}.",
    "verifier": "math",
    "reference": "5",
}
PROGRAM = {
    "question": "Double the number on standard input.",
    "trace": "Read it, double it.",
    "solution": "```python\nprint(2 * int(input()))\n```",
    "verifier": "stdin",
    "tests": json.dumps({"inputs": ["2\n", "5\n"], "outputs": ["4\n", "10\n"]}),
}


@pytest.fixture
def load(tmp_path):
    def load(*rows: dict[str, Any]) -> pl.DataFrame:
        path = tmp_path / "mine.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return table.load(Table(path=str(path), name="mine")).problems

    return load


@pytest.fixture
def refusal(load):
    """What is said of a file with these rows, without its path."""

    def refusal(*rows: dict[str, Any]) -> str:
        with pytest.raises(ValueError) as raised:
            load(*rows)
        assert "\n" not in str(raised.value)
        return str(raised.value).partition("mine.jsonl: ")[2]

    return refusal


def test_a_row_is_a_question_with_its_trace_and_solution_between_markers(load):
    problems = load(SUM, PROGRAM)
    assert problems.schema == COLUMNS
    first, second = problems.rows(named=True)
    assert split_response(first["solution"]) == ("2 + 3 = 5.", r"It is \boxed{5}.")
    assert (first["problem_id"], first["source"], first["system"]) == ("mine/1", "mine", None)
    assert (second["problem_id"], second["tests"], second["reference"]) == ("mine/2", PROGRAM["tests"], None)


def test_the_example_is_accepted_by_its_own_verifiers(load):
    tasks = [
        verify.Task(row["verifier"], split_response(row["solution"])[1], row["reference"], row["tests"])
        for row in load(SUM, PROGRAM).iter_rows(named=True)
    ]
    assert [verdict.outcome for verdict in verify.verify(tasks, workers=1)] == ["correct", "correct"]


def test_rows_may_have_names_and_system_prompts_of_their_own(load):
    problems = load(SUM | {"problem_id": "five", "system": "Be brief."}, SUM)
    assert problems["problem_id"].to_list() == ["mine/five", "mine/2"]
    assert problems["system"].to_list() == ["Be brief.", None]


def test_parquet_is_read_as_jsonl_is(load, tmp_path):
    pl.DataFrame([SUM, PROGRAM], infer_schema_length=None).write_parquet(tmp_path / "mine.parquet")
    read = table.load(Table(path=str(tmp_path / "mine.parquet"), name="mine"))
    assert read.problems.equals(load(SUM, PROGRAM)) and read.left_out.is_empty()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"question": " "}, "question: empty"),
        ({"trace": None}, "trace: empty"),
        ({"solution": ""}, "solution: empty"),
        ({"reference": 5}, "reference: should be text, not int"),
        ({"reference": None}, "reference: empty, but verifier math needs it"),
        ({"tests": {"also": ["five"]}}, "tests: should be text, not dict"),
        ({"tests": "{also"}, "tests: not JSON"),
        ({"verifier": "stdin"}, "tests: empty, but verifier stdin needs it"),
        ({"trace": "x <|end_of_thought|> y"}, "trace: holds <|end_of_thought|>: the format's markers are added here"),
        (
            {"verifier": "maths"},
            "verifier: 'maths' is none of math, stdin, call, asserts, choice, reasoning_gym, none",
        ),
    ],
)
def test_a_bad_value_is_named_by_its_row_and_column(refusal, change, says):
    assert refusal(SUM, SUM | change) == f"row 2: {says}"


def test_every_bad_row_is_named_at_once(refusal):
    assert refusal(SUM | {"trace": ""}, SUM, SUM | {"reference": None, "system": 1}) == (
        "row 1: trace: empty; row 3: system: should be text, not int; "
        "row 3: reference: empty, but verifier math needs it"
    )
    assert refusal(*[SUM | {"trace": ""}] * 25).endswith("; row 20: trace: empty; and 5 more")


def test_columns_that_are_missing_or_unknown_are_named(refusal):
    without = {name: value for name, value in SUM.items() if name != "trace"}
    there_are = "question, solution, verifier, reference"
    assert refusal(without) == f"column 'trace' is missing (there are: {there_are})"
    known = "question, trace, solution, verifier, reference, tests, system, problem_id"
    assert refusal(SUM | {"refrence": "5"}) == f"column 'refrence' is unknown (known are: {known})"


def test_a_name_that_two_rows_have_is_refused(refusal):
    assert refusal(SUM | {"problem_id": "2"}, SUM) == "rows 1 and 2: problem_id 'mine/2' names them all"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mine.jsonl", "", "no rows"),
        ("mine.jsonl", json.dumps(SUM) + "\n{", "row 2: not JSON"),
        ("mine.jsonl", "[1]", "row 1: should be an object of columns and values"),
        ("mine.parquet", "no such thing", "not a readable Parquet file"),
        ("mine.csv", "question\n", "should be a .parquet or .jsonl file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as raised:
        table.load(Table(path=str(tmp_path / name), name="mine"))
    assert str(raised.value).startswith(f"{tmp_path / name}: {says}") and "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl: no such file \(problems\.table\.path\)$"):
        table.load(Table(path=str(tmp_path / "none.jsonl"), name="mine"))
