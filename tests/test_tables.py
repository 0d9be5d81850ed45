"""Tables say what is wrong with them, and are never half written."""

import errno
import os

import polars as pl
import pytest

from vr import tables, verify

SOLUTION = "<|begin_of_thought|>t<|end_of_thought|>\n\n<|begin_of_solution|>\\boxed{1}<|end_of_solution|>"


def problems(**changes) -> pl.DataFrame:
    columns = {
        "problem_id": ["a", "b"], "source": "s", "split": "train", "benchmark": None, "question": "1?",
        "system": None, "solution": SOLUTION, "reference": "1", "verifier": "math", "tests": None,
    }  # fmt: skip
    return pl.DataFrame({"problem_id": columns.pop("problem_id")}).with_columns(
        **{name: pl.Series([value] * 2) if not isinstance(value, list) else pl.Series(value)
           for name, value in (columns | changes).items()}
    )  # fmt: skip


def test_a_table_comes_back_as_it_was_written(tmp_path):
    frame = tables.validate(problems(), tables.Problems, "problems")
    tables.write(problems(), tmp_path / "problems.parquet", tables.Problems)
    assert tables.read(tmp_path / "problems.parquet", tables.Problems).equals(frame)
    assert os.listdir(tmp_path) == ["problems.parquet"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (problems().drop("question"), "column 'question' is missing"),
        (problems().with_columns(more=1), "column 'more' is not part of the table"),
        (problems(question=["1?", " "]), r"question_is_not_empty.*'problem_id': 'b'.*'question': ' '"),
        (problems(problem_id=["a", "a"]), r"duplicate key.*'problem_id': 'a'"),
        (problems(solution=["no markers", SOLUTION]), r"four_markers.*'problem_id': 'a'.*no markers"),
        (problems(solution=[None, SOLUTION]), r"train_rows_have_a_solution.*'problem_id': 'a'"),
        (problems(verifier="guess"), "column 'verifier' is String.*guess"),
        (problems(split="test"), "held_out_rows_have_a_benchmark"),
    ],
)
def test_a_bad_table_is_refused_by_the_name_of_the_column_rule_and_key(tmp_path, frame, message):
    with pytest.raises(ValueError, match=message):
        tables.write(frame, tmp_path / "problems.parquet", tables.Problems)
    assert os.listdir(tmp_path) == []


def test_reading_names_the_file_and_what_it_lacks(tmp_path):
    path = tmp_path / "problems.parquet"
    with pytest.raises(FileNotFoundError, match="no such table"):
        tables.read(path, tables.Problems)
    path.write_text("not parquet")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        tables.read(path, tables.Problems)
    problems().drop("tests").write_parquet(path)
    with pytest.raises(ValueError, match=r"problems.parquet: column 'tests' is missing"):
        tables.read(path, tables.Problems)
    assert tables.read(path, tables.Problems, ["problem_id", "question"]).columns == ["problem_id", "question"]


def test_reading_some_columns_still_checks_their_keys(tmp_path):
    path = tmp_path / "problems.parquet"
    problems(problem_id=["a", "a"]).write_parquet(path)
    with pytest.raises(ValueError, match="duplicate key"):
        tables.read(path, tables.Problems, ["problem_id", "question"])


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path, monkeypatch):
    def fail(_frame, path, **_options):
        path.write_bytes(b"PAR1 half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(OSError, match=r"problems.parquet: cannot be written.*No space left"):
        tables.write(problems(), tmp_path / "problems.parquet", tables.Problems)
    assert os.listdir(tmp_path) == []


def test_weights_that_do_not_sum_to_one_are_refused():
    frame = pl.DataFrame(
        {"problem_id": "q", "seed": [0, 1], "log_ratio": 0.0, "log_likelihood": 0.0, "log_rho": 0.0,
         "weight": [0.5, 0.4], "chosen": [True, False], "reason": ""}
    )  # fmt: skip
    with pytest.raises(ValueError, match="weights_sum_to_one_or_zero_per_question"):
        tables.validate(frame, tables.Weights, "weights")


def test_nan_is_refused():
    frame = pl.DataFrame({"problem_id": ["q"], "seed": [0], "log_likelihood": [float("nan")], "reason": [""],
                          "answer_ids": [None]}, schema_overrides={"answer_ids": pl.List(pl.Int32)})  # fmt: skip
    with pytest.raises(ValueError, match="log_likelihood"):
        tables.validate(frame, tables.Likelihood, "likelihood")


def test_the_seed_of_a_table_stands_in_its_name():
    assert tables.seed_of("data/traces/seed=12.parquet") == 12
    with pytest.raises(ValueError, match=r"seed=N\.parquet"):
        tables.seed_of("data/traces/12.parquet")


def test_outcomes_and_verifiers_are_those_of_the_verification():
    # stated twice so that tables need not load the verifiers, nor these polars
    assert verify.OUTCOMES == tables.OUTCOMES
    assert set(tables.JUDGED) == verify.JUDGED
    assert set(verify.VERIFIERS) == set(tables.VERIFIERS)
