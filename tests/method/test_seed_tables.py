"""Tables of one file per seed, and sums taken anew over lists of tokens."""

from pathlib import Path

import polars as pl
import pytest

from vr.method import seed_tables
from vr.tables import parquet
from vr.tables.schemas import Logps

SUMS = ("trace_logp_sum", "trace_tokens")


def listed(*rows: tuple[float | None, int, list[float] | None]) -> pl.DataFrame:
    """schemas.Logps of traces 0, 1, ... out of (trace_logp_sum, trace_tokens, trace_logps)."""
    return pl.DataFrame(
        [
            {"problem_id": "q", "seed": i, "trace_logp_sum": s, "trace_tokens": n, "trace_logps": of_tokens}
            for i, (s, n, of_tokens) in enumerate(rows)
        ],
        schema_overrides={"trace_logp_sum": pl.Float64, "trace_logps": pl.List(pl.Float32)},
    )


def test_sums_taken_anew_over_the_lists_are_the_scorers_sums():
    # -0.5 - 1.25 - 0.25 = -2; an empty trace: 0; a trace that could not be scored stays so
    whole = listed((-2.0, 3, [-0.5, -1.25, -0.25]), (0.0, 0, []), (None, 5, None), (-3.0, 1, [-3.0]))
    for pieces in ([whole], whole.iter_slices(1)):
        summed = pl.concat(seed_tables.sums_of_lists(pieces))
        assert summed.equals(whole.drop("trace_logps"))


def test_lists_are_summed_in_more_digits_than_they_have():
    # 2^24 - 1 + 2 = 2^24 + 1, which float32 cannot hold
    (summed,) = seed_tables.sums_of_lists([listed((-1.0, 2, [-(2.0**24 - 1), -2.0]))])
    assert summed["trace_logp_sum"].to_list() == [-(2.0**24 + 1)]


def test_a_list_of_another_length_than_the_trace_is_refused_with_its_key():
    with pytest.raises(ValueError, match=r"1 trace\(s\).*'seed': 1, 'trace_tokens': 3, 'n_logps': 2"):
        list(seed_tables.sums_of_lists([listed((-1.0, 1, [-1.0]), (-2.0, 3, [-1.0, -1.0]))]))


def test_sums_of_lists_that_were_not_kept_are_refused_with_the_switch_that_keeps_them():
    with pytest.raises(ValueError, match=r"'seed': 0.*needs score_initial.token_logps and score_posterior"):
        list(seed_tables.sums_of_lists([listed((-1.0, 1, None))]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables of seeds 0, 1 and 2, each of traces of questions q0 and q1; the lists of tokens sum to -1, -2 and -3."""
    for seed in range(3):
        frame = listed((-1.0 - seed, 1, [-1.0 - seed]), (-1.0 - seed, 2, [-0.5, -0.5 - seed])).with_columns(
            problem_id=pl.format("q{}", "seed"),
            seed=pl.lit(seed),
            answer_logp_sum=pl.lit(None, dtype=pl.Float64),
            answer_tokens=pl.lit(None, dtype=pl.Int32),
        )
        parquet.write(frame, tmp_path / f"seed={seed}.parquet", Logps)
    return tmp_path


def test_only_the_files_of_the_named_seeds_are_read(folder):
    frame = seed_tables.read(folder, Logps, [2, 0], SUMS)
    assert frame.columns == ["problem_id", "seed", *SUMS]
    assert frame.rows() == [("q0", 2, -3.0, 1), ("q1", 2, -3.0, 2), ("q0", 0, -1.0, 1), ("q1", 0, -1.0, 2)]


def test_a_missing_seed_is_an_error_that_names_the_file(folder):
    with pytest.raises(FileNotFoundError, match=r"seed=3\.parquet"):
        seed_tables.read(folder, Logps, [0, 3], SUMS)


def test_log_probs_from_the_lists_are_those_from_the_sums(folder):
    frames = [seed_tables.read_logps(folder, [0, 2], SUMS, token_logps=lists) for lists in (False, True)]
    assert frames[0].equals(frames[1])
    assert frames[0].columns == ["problem_id", "seed", *SUMS]


def test_the_rows_of_a_problem_are_found_in_each_seeds_table(folder):
    tables = seed_tables.by_problem(folder, Logps, [0, 2], SUMS)
    assert {seed: table.rows(["q1"]).rows() for seed, table in tables.items()} == {
        0: [("q1", 0, -1.0, 2)],
        2: [("q1", 2, -3.0, 2)],
    }
