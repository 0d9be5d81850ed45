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


def shard(folder: Path, rows: list[resume.Row]) -> Path:
    """A shard of the folder with these rows."""
    folder.mkdir(exist_ok=True)
    (file,) = resume._write_shard(folder, rows, {"index": pl.Int64, **COLUMNS})
    return file


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)


def swap_rows(file: Path) -> None:
    """The same columns, other numbers: only a checksum tells."""
    pl.read_parquet(file).with_columns(name=pl.lit("0")).write_parquet(file)


def make_folder(file: Path) -> None:
    file.unlink()
    (file / "deep").mkdir(parents=True)


def put_in_its_place(file: Path, rows: list[resume.Row]) -> None:
    """A shard that another folder wrote, under this one's name."""
    shard(file.parent.parent / "other", rows).replace(file)


DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "one byte short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "one byte more": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "a bit flipped in the head": lambda file: flip(file, 1),
    "a bit flipped in a page": lambda file: flip(file, 60),
    "a bit flipped at the end": lambda file: flip(file, -20),
    "other rows": swap_rows,
    "other columns": lambda file: pl.DataFrame({"index": [100]}).write_parquet(file),
    "no rows": lambda file: pl.DataFrame(schema={"index": pl.Int64, **COLUMNS}).write_parquet(file),
    "text": lambda file: file.write_text("not Parquet"),
    "a folder": make_folder,
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "a link to nowhere": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "another stage's": lambda file: put_in_its_place(file, [{"index": 100, **row(7)}]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_shard_is_computed_again_and_named(tmp_path, caplog, damage):
    folder = tmp_path / "work"
    whole = collect(folder, [])
    (damaged,) = (file for file in folder.iterdir() if pl.read_parquet(file)["index"].to_list() == [*range(100, 200)])
    DAMAGE[damage](damaged)
    assert collect(folder, asked := []).equals(whole)
    assert asked == list(range(100, 200))
    assert f"{damaged}: not usable, its rows are computed again" in caplog.text
    assert collect(folder, again := []).equals(whole) and again == []


@pytest.mark.parametrize("indices", [[], [TOTAL], [-1], [5, 5], [None]])
def test_a_shard_with_rows_that_nobody_can_ask_for_is_computed_again(tmp_path, indices):
    odd = shard(tmp_path, [{"index": index, **row(0)} for index in indices])
    assert collect(tmp_path, asked := [])["name"].to_list() == [str(n) for n in range(TOTAL)]
    assert asked == list(range(TOTAL)) and not odd.exists()


def test_rows_that_two_shards_have_are_taken_once(tmp_path):
    whole = collect(tmp_path, [])
    shard(tmp_path, [{"index": index, **row(index)} for index in (205, 200)])
    assert collect(tmp_path, []).equals(whole)


def test_a_shard_of_another_folder_is_not_taken_for_one_of_this(tmp_path):
    theirs = shard(tmp_path / "seed=0", [{"index": 0, "name": "theirs", "ids": []}])
    (tmp_path / "seed=1").mkdir()
    theirs.rename(tmp_path / "seed=1" / theirs.name)
    assert collect(tmp_path / "seed=1", [])["name"][0] == "0"


def test_files_that_are_no_shards_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    whole = collect(tmp_path, [])
    assert collect(tmp_path, asked := []).equals(whole) and asked == []
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("value", ["\ud800", b"x", ["a"]])
def test_a_row_that_cannot_be_stored_is_named_and_the_others_are_kept(tmp_path, value):
    def compute(missing: list[int]):
        for index in missing:
            yield index, row(index) | ({"name": value} if index == 12 else {})

    with pytest.raises(ValueError, match="row 12 cannot be stored") as caught:
        list(resume.resume(tmp_path, TOTAL, compute, COLUMNS, shard_rows=10))
    assert "\n" not in str(caught.value)
    collect(tmp_path, asked := [])
    assert asked == list(range(10, TOTAL))


def test_a_full_disk_is_named_and_keeps_what_was_saved(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="engine ended"):
        collect(tmp_path, [], stop_after=100)

    def fail(path, _content):
        with path.open("wb") as file:
            file.write(b"PAR1 half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match=r"[0-9a-f]\.parquet: cannot be written: .*No space"):
            collect(tmp_path, [])
    collect(tmp_path, asked := [])
    assert asked == list(range(100, TOTAL))


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


def test_blocks_are_whole_wherever_an_earlier_run_stopped():
    assert list(resume.blocks(range(10), 4, 10)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(resume.blocks([6, 9], 4, 10)) == [[4, 5, 6, 7], [8, 9]]
