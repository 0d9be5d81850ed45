"""Tables say what is wrong with them, and are never half written."""

import errno
import math
import os
import re
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from vr.tables import parquet, schemas

SOLUTION = "<|begin_of_thought|>t<|end_of_thought|>\n\n<|begin_of_solution|>\\boxed{1}<|end_of_solution|>"


def problems(**changes) -> pl.DataFrame:
    columns = {
        "problem_id": ["a", "b"], "source": "s", "question": "1?", "system": None, "reference": "1",
        "verifier": "math", "tests": None, "solution": SOLUTION,
        "source_row": None, "match_method": None, "self_check": "correct",
    }  # fmt: skip
    return pl.DataFrame({"problem_id": columns.pop("problem_id")}).with_columns(
        **{name: pl.Series([value] * 2) if not isinstance(value, list) else pl.Series(value)
           for name, value in (columns | changes).items()}
    )  # fmt: skip


def test_a_table_comes_back_as_it_was_written(tmp_path):
    frame = parquet.validate(problems(), schemas.Problems, "problems")
    parquet.write(problems(), tmp_path / "problems.parquet", schemas.Problems)
    assert parquet.read(tmp_path / "problems.parquet", schemas.Problems).equals(frame)
    assert os.listdir(tmp_path) == ["problems.parquet"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (problems().drop("question"), "column 'question' is missing"),
        (problems().with_columns(more=1), "column 'more' is not part of the table"),
        (problems(question=["1?", " "]), r"question_is_not_empty.*'problem_id': 'b'.*'question': ' '"),
        (problems(problem_id=["a", "a"]), r"duplicate key.*'problem_id': 'a'"),
        (problems(solution=["no markers", SOLUTION]), r"solution: four_markers.*'problem_id': 'a'.*no markers"),
        (problems(solution=[None, SOLUTION]), r"solution: nullability.*'problem_id': 'a'"),
        (problems(verifier="guess"), "column 'verifier' is String.*guess"),
    ],
)
def test_a_bad_table_is_refused_by_the_name_of_the_column_rule_and_key(tmp_path, frame, message):
    with pytest.raises(ValueError, match=message):
        parquet.write(frame, tmp_path / "problems.parquet", schemas.Problems)
    assert os.listdir(tmp_path) == []


def test_reading_names_the_file_and_what_it_lacks(tmp_path):
    path = tmp_path / "problems.parquet"
    with pytest.raises(FileNotFoundError, match="no such table"):
        parquet.read(path, schemas.Problems)
    path.write_text("not parquet")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        parquet.read(path, schemas.Problems)
    problems().drop("tests").write_parquet(path)
    with pytest.raises(ValueError, match=r"problems.parquet: column 'tests' is missing"):
        parquet.read(path, schemas.Problems)
    assert parquet.read(path, schemas.Problems, ["problem_id", "question"]).columns == ["problem_id", "question"]


def test_reading_some_columns_still_checks_their_keys(tmp_path):
    path = tmp_path / "problems.parquet"
    problems(problem_id=["a", "a"]).write_parquet(path)
    with pytest.raises(ValueError, match="duplicate key"):
        parquet.read(path, schemas.Problems, ["problem_id", "question"])


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match=r"problems.parquet: cannot be written.*No space left"):
        parquet.write(problems(), tmp_path / "problems.parquet", schemas.Problems)
    assert os.listdir(tmp_path) == []


def test_a_read_only_table_is_replaced_and_its_other_hard_link_stays(tmp_path):
    cache, path = tmp_path / "cache", tmp_path / "problems.parquet"
    parquet.write(problems(), cache, schemas.Problems)
    cache.chmod(0o444)
    path.hardlink_to(cache)
    before = cache.read_bytes()
    parquet.write(problems(question="2?"), path, schemas.Problems)
    assert cache.read_bytes() == before
    assert parquet.read(path, schemas.Problems)["question"].to_list() == ["2?", "2?"]


def test_a_table_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "problems.parquet"
    parquet.write(problems(), path, schemas.Problems)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="question_is_not_empty"):
        parquet.write(problems(question=" "), path, schemas.Problems)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["problems.parquet"]


def test_widths_are_cast_only_where_no_value_changes():
    frame = likelihood_of("a").with_columns(seed=pl.lit(3, pl.Int64))
    assert parquet.validate(frame, schemas.Likelihood, "likelihood")["seed"].dtype == pl.Int32
    with pytest.raises(ValueError, match="likelihood: column 'seed' is Int64, not Int32"):
        parquet.validate(frame.with_columns(seed=pl.lit(2**40)), schemas.Likelihood, "likelihood")


def test_an_error_of_the_frames_is_passed_on_unchanged(tmp_path):
    def frames():
        yield likelihood_of("a")
        raise OSError("socket closed")

    with pytest.raises(OSError, match=r"^socket closed$"):
        parquet.write_batches(frames(), tmp_path / "l", schemas.Likelihood)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_full_at_the_end_is_reported_with_the_tables_name(tmp_path, monkeypatch):
    def fail(_writer):
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "close", fail)
    with pytest.raises(OSError, match=r"problems.parquet: cannot be written.*No space left"):
        parquet.write(problems(), tmp_path / "problems.parquet", schemas.Problems)
    assert os.listdir(tmp_path) == []


def test_nan_is_refused():
    frame = pl.DataFrame({"problem_id": ["q"], "seed": [0], "log_likelihood": [float("nan")], "reason": [""],
                          "answer_ids": [None]}, schema_overrides={"answer_ids": pl.List(pl.Int32)})  # fmt: skip
    with pytest.raises(ValueError, match="log_likelihood"):
        parquet.validate(frame, schemas.Likelihood, "likelihood")


def likelihood_of(*problem_ids: str) -> pl.DataFrame:
    """A frame of schemas.Likelihood, seed 0 of each problem."""
    return parquet.validate(
        pl.DataFrame({"problem_id": problem_ids}).with_columns(
            seed=0, log_likelihood=-1.5, reason=pl.lit(""), answer_ids=pl.lit([1, 2])
        ),
        schemas.Likelihood,
        "likelihood",
    )


def test_a_table_in_pieces_is_the_table_in_one_and_is_read_a_row_group_at_a_time(tmp_path, monkeypatch):
    whole = likelihood_of(*map(str, range(100)))
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", int(whole.estimated_size()) // 10)
    for name in ("one", "two"):
        parquet.write_batches((whole[n : n + 3] for n in range(0, 100, 3)), tmp_path / name, schemas.Likelihood)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert parquet.read(tmp_path / "one", schemas.Likelihood).equals(whole)
    batches = list(parquet.read_batches(tmp_path / "one", schemas.Likelihood))
    assert len(batches) >= 10
    assert max(batch.estimated_size() for batch in batches) < 2 * parquet.ROW_GROUP_BYTES
    assert pl.concat(batches).equals(whole)
    columns = ("problem_id", "log_likelihood")
    cut = pl.concat(parquet.read_batches(tmp_path / "one", schemas.Likelihood, columns))
    assert cut.equals(whole.select(columns))


def test_a_table_that_may_be_empty_keeps_its_columns(tmp_path):
    parquet.write_batches([], tmp_path / "none", schemas.Answers)
    assert parquet.read(tmp_path / "none", schemas.Answers).equals(schemas.Answers.create_empty())
    assert list(parquet.read_batches(tmp_path / "none", schemas.Answers)) == []


@pytest.mark.parametrize("schema", [schemas.Problems, schemas.Subset, schemas.Traces, schemas.Weights, schemas.Final])
def test_a_table_that_has_rows_whenever_it_is_right_is_refused_without(tmp_path, schema):
    parquet.write_batches([], tmp_path / "none", schema)
    for read in (parquet.read, parquet.read_batches):
        with pytest.raises(ValueError, match="none: the table has no rows"):
            read(tmp_path / "none", schema)


def trace_of(**changes) -> pl.DataFrame:
    """One row of schemas.Traces, 3 tokens long."""
    row = {"problem_id": "a", "seed": 0, "trace_ids": [5, 6, 7], "trace_tokens": 3, "thought_tokens": 2, "text": "t",
           "finish": "marker", "trace_logps": [-1.0, -1.0, -1.0]}  # fmt: skip
    return pl.DataFrame([row | changes])


@pytest.mark.parametrize(
    ("column", "value", "dtype", "message"),
    [
        ("seed", "0", pl.String, "column 'seed' is String, not Int32"),
        ("seed", 0.0, pl.Float64, "column 'seed' is Float64, not Int32"),
        ("seed", True, pl.Boolean, "column 'seed' is Boolean, not Int32"),
        ("seed", 2**31, pl.Int64, "column 'seed' is Int64, not Int32"),
        ("seed", None, pl.Null, "seed: nullability"),
        ("seed", [0], pl.List(pl.Int32), r"column 'seed' is List\(Int32\), not Int32"),
        ("problem_id", 7, pl.Int64, "column 'problem_id' is Int64, not String"),
        ("problem_id", b"a", pl.Binary, "column 'problem_id' is Binary, not String"),
        ("trace_ids", "5 6 7", pl.String, r"column 'trace_ids' is String, not List\(Int32\)"),
        ("trace_ids", 5, pl.Int32, r"column 'trace_ids' is Int32, not List\(Int32\)"),
        ("trace_ids", ["5"], pl.List(pl.String), r"column 'trace_ids' is List\(String\), not List\(Int32\)"),
        ("trace_ids", [5, -6, 7], pl.List(pl.Int64), "trace_ids: inner_min"),
        ("trace_ids", [5, None, 7], pl.List(pl.Int64), "trace_ids: inner_nullability"),
        ("trace_ids", [5, 2**31, 7], pl.List(pl.Int64), r"column 'trace_ids' is List\(Int64\), not List\(Int32\)"),
        ("trace_tokens", 4, pl.Int64, "trace_tokens_counts_trace_ids.*'problem_id': 'a'"),
        ("trace_tokens", "3", pl.String, "column 'trace_tokens' is String, not Int32"),
        ("thought_tokens", 4, pl.Int64, "thought_tokens_are_among_the_trace_tokens.*'problem_id': 'a'"),
        ("finish", "stop", pl.String, "column 'finish' is String, not Enum.*stop"),
        ("finish", 0, pl.Int64, "column 'finish' is Int64, not Enum"),
        ("trace_logps", [-1.0, math.nan, -1.0], pl.List(pl.Float64), "trace_logps: inner_nan"),
        ("trace_logps", [-1.0, -math.inf, -1.0], pl.List(pl.Float64), "trace_logps: inner_inf"),
        ("trace_logps", [-1, -1, -1], pl.List(pl.Int64), r"column 'trace_logps' is List\(Int64\), not List\(Float32\)"),
        ("trace_logps", [-0.1, -1.0, -1.0], pl.List(pl.Float64), r"not List\(Float32\) \(values would change\)"),
    ],
)
def test_a_column_of_another_kind_or_a_wrong_value_is_refused_in_one_line_by_its_name(
    tmp_path, column, value, dtype, message
):
    path = tmp_path / "traces.parquet"
    trace_of().with_columns(pl.Series(column, [value], dtype=dtype)).write_parquet(path)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}") as caught:
        parquet.read(path, schemas.Traces)
    assert "\n" not in str(caught.value)


def test_a_rule_over_several_columns_holds_wherever_all_of_them_are_read(tmp_path):
    path = tmp_path / "traces.parquet"
    trace_of(trace_tokens=4).write_parquet(path)
    with pytest.raises(ValueError, match="trace_tokens_counts_trace_ids"):
        parquet.read(path, schemas.Traces, ("problem_id", "seed", "trace_ids", "trace_tokens"))
    assert parquet.read(path, schemas.Traces, ("problem_id", "seed", "trace_tokens")).height == 1


def written(path: Path) -> bytes:
    """A table as it is written, of 30 traces of which no two are alike."""
    rows = [
        trace_of(problem_id=f"q{n}", trace_ids=[n, n * n, 7], text=f"text {n}", trace_logps=[-n / 8, -1.0, 0.0])
        for n in range(30)
    ]
    parquet.write(pl.concat(rows), path, schemas.Traces)
    return path.read_bytes()


def test_a_flipped_bit_never_changes_what_is_read(tmp_path):
    path = tmp_path / "traces.parquet"
    good, whole = written(path), parquet.read(path, schemas.Traces)
    messages = []
    for place in range(0, len(good), 11):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            assert parquet.read(path, schemas.Traces).equals(whole), place
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > len(good) / 11 / 2
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in messages)


@pytest.mark.parametrize("kept", [0, 3, 4, 100, -1, -4, -8, -200])
def test_a_file_that_was_cut_short_is_refused_in_one_line(tmp_path, kept):
    path = tmp_path / "traces.parquet"
    path.write_bytes(written(path)[:kept])
    for read in (parquet.read, parquet.read_batches):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: not a readable Parquet file") as caught:
            read(path, schemas.Traces)
        assert "\n" not in str(caught.value)


def test_a_page_that_is_damaged_is_found_when_its_row_group_is_read(tmp_path):
    path = tmp_path / "traces.parquet"
    good = written(path)
    begin = pq.read_metadata(path).row_group(0).column(5).dictionary_page_offset  # text
    path.write_bytes(good[: begin + 40] + bytes([good[begin + 40] ^ 1]) + good[begin + 41 :])
    batches = parquet.read_batches(path, schemas.Traces)
    with pytest.raises(ValueError, match=r"traces\.parquet: not a readable Parquet file"):
        next(batches)


def test_a_folder_in_place_of_a_table_is_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such table"):
        parquet.read(tmp_path, schemas.Traces)


def test_a_key_that_is_in_two_pieces_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"duplicate key: 2 row\(s\), the first: \{'problem_id': 'b', 'seed': 0\}"):
        parquet.write_batches([likelihood_of("a", "b"), likelihood_of("c", "b")], tmp_path / "l", schemas.Likelihood)
    assert os.listdir(tmp_path) == []
    pq.write_table(pl.concat([likelihood_of("a"), likelihood_of("a")]).to_arrow(), tmp_path / "l", row_group_size=1)
    with pytest.raises(ValueError, match="duplicate key"):
        parquet.read_batches(tmp_path / "l", schemas.Likelihood)


def test_pieces_that_fail_midway_leave_nothing(tmp_path):
    def pieces():
        yield likelihood_of("a")
        raise RuntimeError("engine ended")

    with pytest.raises(RuntimeError, match=r"^engine ended$"):
        parquet.write_batches(pieces(), tmp_path / "l", schemas.Likelihood)
    assert os.listdir(tmp_path) == []


def test_log_probs_of_tokens_come_back_to_the_last_bit(tmp_path):
    logps = [[-0.1, -1e-30, -88.0, 0.0], [], None]
    frame = pl.DataFrame({"problem_id": ["a", "b", "c"]}).with_columns(
        seed=0, trace_logp_sum=-1.0, trace_tokens=4, answer_logp_sum=None, answer_tokens=None,
        trace_logps=pl.Series(logps, dtype=pl.List(pl.Float32)),
    )  # fmt: skip
    parquet.write(frame, tmp_path / "l", schemas.Logps)
    back = parquet.read(tmp_path / "l", schemas.Logps)["trace_logps"]
    assert back.equals(frame["trace_logps"]) and back.dtype == pl.List(pl.Float32)
