"""Shards: what is finished is never done again, and the frames do not show where a run was interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from vr.execution import resume

COLUMNS = {"name": pl.String, "ids": pl.List(pl.Int32)}
TOTAL = 2 * resume.BLOCK_ROWS + 7


def row(index: int) -> resume.Row:
    return {"name": str(index), "ids": list(range(index % 5))}


def collect(folder: Path, asked: list[int], *, stop_after: int | None = None, reverse: bool = False) -> pl.DataFrame:
    """The whole table; `asked` is filled with the indices that were computed; fails after `stop_after` of them."""

    def compute(missing: list[int]):
        for count, index in enumerate(missing[::-1] if reverse else missing):
            if count == stop_after:
                raise RuntimeError("engine ended")
            asked.append(index)
            yield index, row(index)

    frames = list(resume.resume(folder, TOTAL, compute, COLUMNS, shard_rows=100))
    assert [frame.height for frame in frames] == [resume.BLOCK_ROWS, resume.BLOCK_ROWS, 7]
    return pl.concat(frames)


def test_rows_come_in_order_whatever_order_they_finish_in(tmp_path):
    wanted = pl.DataFrame([row(n) for n in range(TOTAL)], schema=COLUMNS)
    assert collect(tmp_path / "a", []).equals(wanted)
    assert collect(tmp_path / "b", [], reverse=True).equals(wanted)


def test_after_an_error_only_what_had_not_finished_is_computed(tmp_path):
    first, second = [], []
    with pytest.raises(RuntimeError, match="engine ended"):
        collect(tmp_path, first, stop_after=250)
    assert len(list(tmp_path.iterdir())) == 3  # 100, 100 and the 50 that were held
    whole = collect(tmp_path, second)
    assert sorted(first + second) == list(range(TOTAL))
    assert whole["name"].to_list() == [str(n) for n in range(TOTAL)]
    assert collect(tmp_path, third := []).equals(whole) and third == []


def test_a_kill_loses_no_more_than_one_shard(tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from test_resume import COLUMNS, TOTAL, row
from vr.execution import resume
def compute(missing):
    for index in missing:
        if index == 777:
            os.kill(os.getpid(), signal.SIGKILL)
        yield index, row(index)
list(resume.resume(Path({str(tmp_path)!r}), TOTAL, compute, COLUMNS, shard_rows=100))
"""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    collect(tmp_path, asked := [])
    assert asked == list(range(700, TOTAL))


def test_a_shard_is_saved_after_a_minute_however_few_rows_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SAVE_SECONDS", -1.0)
    with pytest.raises(RuntimeError, match="engine ended"):
        collect(tmp_path, [], stop_after=3)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_shard_is_computed_again(tmp_path, caplog):
    whole = collect(tmp_path, [])
    damaged = sorted(tmp_path.iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert collect(tmp_path, asked := []).equals(whole)
    assert asked == list(range(100, 200))
    assert f"{damaged.name}: not readable" in caplog.text


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "3 rows were not computed, the first: 0"),
        ([0, 0], "row 0 was not asked for"),
        ([3], "row 3 was not asked for"),
    ],
)
def test_rows_that_are_missing_or_were_not_asked_for_are_an_error(tmp_path, made, message):
    with pytest.raises(RuntimeError, match=message):
        list(resume.resume(tmp_path, 3, lambda _: ((n, row(n)) for n in made), COLUMNS, shard_rows=10))


def test_no_rows_make_no_frames(tmp_path):
    assert list(resume.resume(tmp_path, 0, lambda _: pytest.fail("nothing is missing"), COLUMNS, shard_rows=10)) == []


def test_a_full_disk_is_named_and_keeps_what_was_saved(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="engine ended"):
        collect(tmp_path, [], stop_after=100)

    def fail(_frame, path, **_options):
        path.write_bytes(b"PAR1 half")
        raise OSError("No space left on device")

    with monkeypatch.context() as full:
        full.setattr(pl.DataFrame, "write_parquet", fail)
        with pytest.raises(OSError, match=r"000001.parquet: cannot be written: No space"):
            collect(tmp_path, [])
    collect(tmp_path, asked := [])
    assert asked == list(range(100, TOTAL))


def test_blocks_are_whole_wherever_an_earlier_run_stopped():
    assert list(resume.blocks(range(10), 4, 10)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(resume.blocks([6, 9], 4, 10)) == [[4, 5, 6, 7], [8, 9]]
