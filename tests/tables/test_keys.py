"""Rows are found by their problem, and seeds in the names of tables."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from vr.tables import keys, parquet, schemas


def likelihood_of(*problem_ids: str) -> pl.DataFrame:
    """A frame of schemas.Likelihood, seed 0 of each problem."""
    return parquet.validate(
        pl.DataFrame({"problem_id": problem_ids}, schema={"problem_id": pl.String}).with_columns(
            seed=0, log_likelihood=-1.5, reason=pl.lit(""), answer_ids=pl.lit([1, 2])
        ),
        schemas.Likelihood,
        "likelihood",
    )


def test_the_seed_of_a_table_stands_in_its_name():
    assert keys.seed_of("data/traces/posterior/seed=12.parquet") == 12
    assert keys.seed_of("seed=2147483647.parquet") == 2**31 - 1


@pytest.mark.parametrize(
    "name", ["12.parquet", "seed=.parquet", "seed=-1.parquet", "seed=1.5.parquet", "seed=1", "seed=².parquet",
             "seed=2147483648.parquet", "seed=99999999999.parquet", f"seed={'9' * 5000}.parquet"]
)  # fmt: skip
def test_a_table_whose_name_is_no_seed_or_one_that_no_column_holds_is_refused(name):
    with pytest.raises(ValueError, match=r"should be seed=N\.parquet with N below 2147483648"):
        keys.seed_of(f"data/traces/{name}")


def test_the_proposal_of_a_table_is_the_name_of_its_folder():
    assert keys.proposal_of("data/traces/initial/seed=12.parquet") == "initial"
    with pytest.raises(ValueError, match=r"traces/seed=1\.parquet: .* one of posterior, initial"):
        keys.proposal_of("data/traces/seed=1.parquet")


def tables_of(folder: Path, n: int, wanted: list[str]) -> tuple[Path, Path]:
    """Problems 0 .. n-1 in row groups of 3, and a subset of problems."""
    markers = "<|begin_of_thought|>t<|end_of_thought|><|begin_of_solution|>y<|end_of_solution|>"
    frame = pl.DataFrame({"problem_id": [str(number) for number in range(n)]}).with_columns(
        source=pl.lit("s"), question=pl.lit("1?"), system=None, reference=None, verifier=pl.lit("none"), tests=None,
        solution=pl.lit(markers), source_row=None, match_method=None, self_check=None,
    )  # fmt: skip
    frame = parquet.validate(frame, schemas.Problems, "problems")
    pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), folder / "problems", row_group_size=3)
    parquet.write(pl.DataFrame({"problem_id": wanted}), folder / "subset", schemas.Subset)
    return folder / "problems", folder / "subset"


def test_the_problems_of_a_subset_come_in_the_order_of_the_problems(tmp_path):
    problems, subset = tables_of(tmp_path, 10, ["7", "2", "1"])
    assert keys.problems_of(problems, subset)["problem_id"].to_list() == ["1", "2", "7"]
    assert keys.problems_of(problems, subset, ("problem_id", "source")).columns == ["problem_id", "source"]
    batches = [batch["problem_id"].to_list() for batch in keys.problem_batches_of(problems, subset)]
    assert batches == [["1", "2"], [], ["7"], []]


@pytest.mark.parametrize("empty", ["problems", "subset"])
def test_problems_without_rows_are_an_error_that_names_the_file(tmp_path, empty):
    problems, subset = tables_of(tmp_path, 3, ["2"])
    parquet.write_batches([], tmp_path / empty, schemas.Problems if empty == "problems" else schemas.Subset)
    for find in (keys.problems_of, keys.problem_batches_of):
        with pytest.raises(ValueError, match=f"{empty}: the table has no rows"):
            find(problems, subset)


def test_a_problem_of_a_subset_that_is_missing_is_an_error_with_its_key(tmp_path):
    problems, subset = tables_of(tmp_path, 3, ["2", "8", "9"])
    for find in (keys.problems_of, keys.problem_batches_of):
        with pytest.raises(ValueError, match=r"problems: 2 problem\(s\) of .*subset are missing, the first: '8'"):
            find(problems, subset)


def test_rows_per_problem_are_counted_and_must_be_equal(tmp_path):
    def final(*rows: tuple[str, int]) -> Path:
        frame = pl.DataFrame(rows, schema={"problem_id": pl.String, "row": pl.Int32}, orient="row").with_columns(
            seed=None, origin=pl.lit("original"), weight=1.0, trace_ids=pl.lit([1]), answer_ids=pl.lit([2]),
            text=pl.lit("t"),
        )  # fmt: skip
        parquet.write(frame, tmp_path / "final", schemas.Final)
        return tmp_path / "final"

    assert keys.rows_per_problem(final(("a", 0), ("a", 1), ("b", 0), ("b", 1)), schemas.Final) == 2
    with pytest.raises(ValueError, match="final: problems have different numbers of rows: 1, 2"):
        keys.rows_per_problem(final(("a", 0), ("a", 1), ("b", 0)), schemas.Final)


def test_each_row_gets_the_columns_of_its_problem_in_the_order_of_the_rows():
    rows = pl.DataFrame({"problem_id": ["b", "a", "b"], "seed": [1, 2, 3]})
    problems = pl.DataFrame({"problem_id": ["a", "b", "c"], "question": ["A", "B", "C"]})
    joined = keys.with_problems(rows, problems)
    assert joined.rows() == [("b", 1, "B"), ("a", 2, "A"), ("b", 3, "B")]


def test_a_row_whose_problem_is_missing_is_an_error_with_its_key():
    rows, problems = pl.DataFrame({"problem_id": ["b", "x"]}), pl.DataFrame({"problem_id": ["b"]})
    with pytest.raises(ValueError, match="problem_id 'x' of a row is missing"):
        keys.with_problems(rows, problems)


def test_rows_are_found_by_problem_in_any_order_and_read_once_when_asked_for_in_the_files_order(tmp_path, monkeypatch):
    ids = [str(n) for n in range(40)]
    pq.write_table(likelihood_of(*ids).to_arrow(compat_level=pl.CompatLevel.oldest()), tmp_path / "l", row_group_size=7)
    reads = []
    read_row_group = pq.ParquetFile.read_row_group
    by_problem = keys.ByProblem(tmp_path / "l", schemas.Likelihood, ("problem_id", "seed", "answer_ids"))
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, n, **options: reads.append(n) or read_row_group(self, n, **options),
    )
    for start in range(0, 40, 5):
        found = by_problem.rows(ids[start : start + 5])
        assert found["problem_id"].to_list() == ids[start : start + 5]
        assert found.columns == ["problem_id", "seed", "answer_ids"]
    assert reads == [0, 1, 2, 3, 4, 5]
    assert by_problem.rows(["39", "0", "nobody"])["problem_id"].to_list() == ["0", "39"]


def test_a_table_that_lacks_a_column_or_repeats_a_key_is_refused_when_it_is_opened(tmp_path):
    likelihood_of("a", "b").drop("answer_ids").write_parquet(tmp_path / "short")
    with pytest.raises(ValueError, match="short: column 'answer_ids' is missing"):
        keys.ByProblem(tmp_path / "short", schemas.Likelihood, ("problem_id", "answer_ids"))
    pq.write_table(pl.concat([likelihood_of("a")] * 2).to_arrow(), tmp_path / "twice", row_group_size=1)
    with pytest.raises(ValueError, match="twice: duplicate key"):
        keys.ByProblem(tmp_path / "twice", schemas.Likelihood, ("problem_id", "seed"))


def test_answers_without_rows_have_none_for_any_problem(tmp_path):
    parquet.write_batches([], tmp_path / "none", schemas.Answers)
    assert keys.ByProblem(tmp_path / "none", schemas.Answers, ("problem_id",)).rows(["a"]).height == 0
