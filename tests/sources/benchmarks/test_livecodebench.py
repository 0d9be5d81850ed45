"""Rows of LiveCodeBench: prompts, both forms of tests, and packed tests that hold something else."""

import base64
import contextlib
import json
import os
import pickle
import zlib

import pytest
from benchmark_sets import functional_row, packed, settings, stdin_row, write_jsonl, write_livecodebench
from hypothesis import given
from hypothesis import strategies as st

from vr import verify
from vr.sources import benchmarks
from vr.sources.benchmarks import programs
from vr.sources.benchmarks.programs import private_tests

TEST = {"input": "1", "output": "2", "testtype": "stdin"}


def wrapped(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def loaded(tmp_path, *rows, **changes):
    folder = tmp_path / "livecodebench/code_generation_lite"
    write_jsonl(folder / "test.jsonl", list(rows))
    write_jsonl(folder / "test2.jsonl", [])
    return benchmarks.load("livecodebench_easy", settings(**changes), str(tmp_path))


def test_both_files_are_read_and_split_by_difficulty(tmp_path):
    write_livecodebench(tmp_path)
    for level in ("easy", "medium", "hard"):
        table = benchmarks.load(f"livecodebench_{level}", settings(), str(tmp_path))
        assert table["problem_id"].to_list() == [f"livecodebench_{level}/{kind}-{level}" for kind in "sf"]


def test_a_question_that_reads_and_prints(tmp_path):
    row = loaded(tmp_path, stdin_row()).row(0, named=True)
    assert row["question"] == (
        "Generate an executable Python function generated from the given prompt. The function should take stdin as "
        "input and print the output. Simply call the function after the definition. Print twice the number."
    )
    assert row["verifier"] == "stdin"
    assert json.loads(row["tests"]) == {"inputs": ["2\n", "5"], "outputs": ["4\n", "10"]}


def test_a_question_with_a_function_is_not_told_its_name_and_may_give_it_another(tmp_path):
    row = loaded(tmp_path, functional_row()).row(0, named=True)
    assert row["question"] == (
        "Generate an executable Python function generated from the given prompt. Return the function body without "
        "invoking it at the final solution. Add a number to the sum of a list."
    )
    assert row["verifier"] == "call"
    calls = {"inputs": [[[1, 2], 3], [[], -1]], "outputs": [6, -1]}
    assert json.loads(row["tests"]) == calls | {"fn_name": "total", "any_name": True}


def test_programs_are_judged_by_public_and_private_tests(tmp_path):
    reads, called = loaded(tmp_path, stdin_row(), functional_row()).iter_rows(named=True)
    answers = [
        (reads, "n = int(input())\nprint(2 * n)", "correct"),
        (reads, "input()\nprint(4)", "wrong"),  # passes the public test alone
        (called, "class Solution:\n    def total(self, a, b):\n        return sum(a) + b", "correct"),
        (called, "def add(numbers, n):\n    return n + sum(numbers)", "correct"),
        (called, "def total(a, b):\n    return 6", "wrong"),
    ]
    tasks = [verify.Task(row["verifier"], f"```python\n{code}\n```", None, row["tests"]) for row, code, _ in answers]
    assert [verdict.outcome for verdict in verify.verify(tasks, workers=1)] == [outcome for *_, outcome in answers]


def test_plain_and_packed_tests_are_the_same():
    assert private_tests(json.dumps([TEST])) == private_tests(packed([TEST])) == [TEST]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_a_pickle_of_text_is_read(protocol):
    assert private_tests(wrapped(pickle.dumps(json.dumps([TEST]), protocol))) == [TEST]


class Runs:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    with pytest.raises(ValueError, match="a pickle of more than one text"):
        private_tests(wrapped(pickle.dumps(Runs(str(tmp_path / "made")))))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("value", [[TEST], {"a": "b"}, ("x", "y"), 3, None, b"[]", {"x"}])
def test_a_pickle_of_anything_but_one_text_is_refused(value):
    with pytest.raises(ValueError, match="a pickle of"):
        private_tests(wrapped(pickle.dumps(value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%%%", "neither JSON nor base64 of zlib"),
        ("AAAA", "neither JSON nor base64 of zlib"),
        (wrapped(b""), "exhausted"),
        (wrapped(b"\x80\x04X\xff\xff\xff\x7fab."), "expected"),
        (base64.b64encode(zlib.compress(pickle.dumps("[]"))[:-4]).decode(), "cut off"),
        (wrapped(pickle.dumps("no json")), "Expecting value"),
        (wrapped(pickle.dumps('[{"input": "1"}]')), "list of tests with input, output and testtype"),
        ("[1]", "list of tests"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_tests_are_said_to_be_so(text, message):
    with pytest.raises(ValueError, match=message):
        private_tests(text)


@given(st.sampled_from(range(6)), st.integers(0, 60), st.binary(max_size=6), st.integers(0, 6))
def test_a_changed_pickle_is_read_or_refused_and_nothing_else(protocol, at, new, cut):
    content = pickle.dumps([json.dumps([TEST]), {"a": (1, None)}], protocol)
    with contextlib.suppress(ValueError):
        private_tests(wrapped(content[:at] + new + content[at + cut :]))


def test_tests_that_unpack_to_more_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(programs, "MAX_TESTS_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes when unpacked"):
        private_tests(wrapped(bytes(10_000)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"private_test_cases": "%"}, "neither JSON nor base64"),
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, "no tests"),
        ({"public_test_cases": json.dumps([TEST | {"testtype": "functional"}])}, "metadata without func_name"),
    ],
)
def test_a_question_whose_tests_cannot_be_read_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"^livecodebench_easy/s1: its tests cannot be read: {message}"):
        loaded(tmp_path, stdin_row(**changes))
