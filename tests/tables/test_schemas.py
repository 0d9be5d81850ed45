"""What the tables promise beyond types: keys, rules, words, and a page that shows all of it."""

import subprocess
import sys
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from vr import verify
from vr.tables import parquet, schemas, vocabulary
from vr.tables.__main__ import PLACES, markdown

ROOT = Path(__file__).parents[2]
TABLES = sorted(set(PLACES.values()), key=lambda schema: schema.__name__)


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (schemas.Problems, ("problem_id",)),
        (schemas.LeftOut, ("source", "source_row")),
        (schemas.Benchmark, ("problem_id",)),
        (schemas.Subset, ("problem_id",)),
        (schemas.Traces, vocabulary.TRACE_KEY),
        (schemas.Logps, vocabulary.TRACE_KEY),
        (schemas.Likelihood, vocabulary.TRACE_KEY),
        (schemas.Weights, vocabulary.TRACE_KEY),
        (schemas.Answers, vocabulary.ANSWER_KEY),
        (schemas.Verifications, vocabulary.ANSWER_KEY),
        (schemas.Final, ("problem_id", "row")),
        (schemas.Evals, ("problem_id", "sample")),
    ],
)
def test_every_table_has_its_key_and_begins_with_it(schema, key):
    assert tuple(schema.primary_key()) == key == tuple(schema.column_names()[: len(key)])


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.__name__)
def test_every_column_says_what_it_means(schema):
    assert all(column.description for column in schema.columns().values())


def test_rules_of_a_question_hold_in_training_and_held_out_questions():
    row = {"problem_id": "a", "source": "s", "question": " ", "system": None, "reference": "1", "verifier": "math",
           "tests": None, "solution": None}  # fmt: skip
    frame = pl.DataFrame([row], schema=parquet.types(schemas.Benchmark))
    with pytest.raises(ValueError, match="question_is_not_empty"):
        parquet.validate(frame, schemas.Benchmark, "benchmark")
    asked = frame.with_columns(question=pl.lit("1?"))
    assert parquet.validate(asked, schemas.Benchmark, "benchmark").height == 1
    trained_on = asked.with_columns(source_row=None, match_method=None, self_check=None)
    with pytest.raises(ValueError, match="solution: nullability"):
        parquet.validate(trained_on, schemas.Problems, "problems")
    with pytest.raises(ValueError, match="solution: four_markers_in_order"):
        parquet.validate(asked.with_columns(solution=pl.lit("1")), schemas.Benchmark, "benchmark")


def test_the_same_key_in_one_table_twice_is_refused_in_every_table():
    for schema in TABLES:
        one = schema.create_empty().select(schema.primary_key())
        row = {name: "a" if dtype == pl.String else 0 for name, dtype in one.schema.items()}
        keys_alone = type("Keys", (dy.Schema,), {name: schema.columns()[name] for name in row})
        with pytest.raises(ValueError, match="duplicate key: 2 row"):
            parquet.validate(pl.DataFrame([row, row]), keys_alone, schema.__name__)


def test_weights_that_do_not_sum_to_one_are_refused():
    frame = pl.DataFrame(
        {"problem_id": "q", "seed": [0, 1], "log_ratio_total": 0.0, "log_ratio": 0.0, "log_likelihood": 0.0,
         "log_rho": 0.0, "weight": [0.5, 0.4], "chosen": [True, False], "reason": ""}
    )  # fmt: skip
    with pytest.raises(ValueError, match="weights_sum_to_one_or_zero_per_question"):
        parquet.validate(frame, schemas.Weights, "weights")


def test_a_question_with_weight_has_one_chosen_trace():
    frame = pl.DataFrame(
        {"problem_id": "q", "seed": [0, 1], "log_ratio_total": 0.0, "log_ratio": 0.0, "log_likelihood": 0.0,
         "log_rho": 0.0, "weight": [0.5, 0.5], "chosen": [True, True], "reason": ""}
    )  # fmt: skip
    with pytest.raises(ValueError, match="one_trace_is_chosen_where_weights_are_not_zero"):
        parquet.validate(frame, schemas.Weights, "weights")


def test_the_verifiers_of_a_table_are_the_kinds_of_the_verification():
    assert set(verify.KINDS) == set(vocabulary.VERIFIERS)


def test_the_outcomes_that_are_about_the_model_are_outcomes():
    assert set(vocabulary.JUDGED) < set(vocabulary.OUTCOMES)


def test_the_vocabulary_loads_no_table_library():
    code = "import sys, vr.tables.vocabulary; print(*(name for name in ('polars', 'pyarrow') if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def test_the_page_of_the_data_folder_is_what_the_command_prints():
    assert (ROOT / "data" / "README.md").read_text(encoding="utf-8") == markdown() + "\n"


def test_the_page_shows_every_table():
    declared = {
        schema for schema in vars(schemas).values() if isinstance(schema, type) and issubclass(schema, dy.Schema)
    }
    keys = {dy.Schema, schemas.ProblemKey, schemas.TraceKey, schemas.AnswerKey, schemas.Question}
    assert declared - keys == set(PLACES.values())
