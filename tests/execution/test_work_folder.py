"""Work folders: found again by the same fingerprint, held by one run at a time, gone when the work is done."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vr.execution import work_folder


def test_fingerprint_depends_on_every_part_and_on_the_borders_between_them() -> None:
    seen = {
        work_folder.fingerprint(*parts)
        for parts in [(), ("ab", "c"), ("a", "bc"), ("abc",), (b"abc",), (["abc"],), ("c", "ab"), ({"a": 1},), (1.0,)]
    }
    assert len(seen) == 9
    assert work_folder.fingerprint({"a": 1, "b": 2}) == work_folder.fingerprint({"b": 2, "a": 1})


def test_fingerprint_of_a_folder_is_that_of_its_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("x")
    first = work_folder.fingerprint(tmp_path / "one")
    assert first == work_folder.fingerprint(tmp_path / "two") != work_folder.fingerprint(str(tmp_path / "one"))
    (tmp_path / "two" / "sub" / "file").write_text("y")
    assert work_folder.fingerprint(tmp_path / "two") != first
    (tmp_path / "one" / "sub" / "file").rename(tmp_path / "one" / "sub" / "other")
    assert work_folder.fingerprint(tmp_path / "one") != first


def test_fingerprint_of_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        work_folder.fingerprint(tmp_path / "nowhere")
    with pytest.raises(TypeError):
        work_folder.fingerprint(object())


def test_folder_is_kept_on_failure_found_again_and_removed_at_the_end(tmp_path: Path) -> None:
    def fail() -> None:
        with work_folder.work_folder(tmp_path, "stage", "f1") as folder:
            (folder / "done").write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    with work_folder.work_folder(tmp_path, "stage", "f1") as folder:
        assert (folder / "done").read_text() == "half"
    assert not folder.exists()


def test_folders_of_other_inputs_are_removed_and_other_names_left_alone(tmp_path: Path) -> None:
    (tmp_path / "stage" / "old").mkdir(parents=True)
    (tmp_path / "other" / "old").mkdir(parents=True)
    with work_folder.work_folder(tmp_path, "stage", "new"):
        assert not (tmp_path / "stage" / "old").exists()
        assert (tmp_path / "other" / "old").exists()


def test_whatever_else_lies_in_its_place_is_removed(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "work" / "stage", tmp_path / "elsewhere"
    home.mkdir(parents=True)
    (elsewhere / "sub").mkdir(parents=True)
    (home / "f1").write_text("a file where the folder should be")
    (home / "f0").write_text("a file of an older version")
    (home / "link").symlink_to(elsewhere)
    with work_folder.work_folder(tmp_path / "work", "stage", "f1") as folder:
        assert folder.is_dir() and sorted(path.name for path in home.iterdir()) == ["f1", "lock"]
    (home / "f1").symlink_to(elsewhere)
    with work_folder.work_folder(tmp_path / "work", "stage", "f1") as folder:
        assert not folder.is_symlink()
    assert (elsewhere / "sub").is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with (
        pytest.raises(OSError, match=r"work/stage"),
        work_folder.work_folder(tmp_path / "work", "stage", "f1"),
    ):
        pytest.fail("there is no folder to work in")


def test_a_full_disk_is_one_line_that_names_the_lock(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with (
            pytest.raises(OSError, match=r"stage/lock: cannot be written: .*too large"),
            work_folder.work_folder(tmp_path, "stage", "f1"),
        ):
            pytest.fail("nothing can be written there")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_lock_of_a_process_that_has_ended_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    for left in (b"1", b"99999999", b"", b"\xff not a number"):
        (tmp_path / "stage" / "lock").write_bytes(left)
        with work_folder.work_folder(tmp_path, "stage", "f1"):
            assert (tmp_path / "stage" / "lock").read_text() == str(os.getpid())


def test_a_lock_that_a_child_of_an_ended_process_holds_is_said_to_be_that(tmp_path: Path) -> None:
    program = f"""
import os, sys
from pathlib import Path
from vr.execution import work_folder
with work_folder.work_folder(Path({str(tmp_path)!r}), "stage", "f1"):
    if os.fork():
        os._exit(0)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as parent:
        parent.wait()
        with (
            pytest.raises(RuntimeError, match=f"stage: a child of process {parent.pid}, which has ended, is at work"),
            work_folder.work_folder(tmp_path, "stage", "f1"),
        ):
            pass
        assert parent.stdin is not None
        parent.stdin.close()


def test_second_run_of_a_stage_stops_and_names_the_first(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from vr.execution import work_folder
with work_folder.work_folder(Path({str(tmp_path)!r}), "stage", "f1"):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        (tmp_path / "stage" / "f1" / "theirs").write_text("x")
        # Another fingerprint does not help: the first run's folder would be cleared away under its feet.
        for fingerprint in ("f1", "f2"):
            with (
                pytest.raises(RuntimeError, match=f"stage: process {other.pid} is at work"),
                work_folder.work_folder(tmp_path, "stage", fingerprint),
            ):
                pass
        assert (tmp_path / "stage" / "f1" / "theirs").exists()
        with work_folder.work_folder(tmp_path, "other stage", "f1"):
            pass
        other.kill()  # the lock goes with its process, however that ends
    with work_folder.work_folder(tmp_path, "stage", "f1") as folder:
        assert (folder / "theirs").exists()
        assert (tmp_path / "stage" / "lock").read_text() == str(os.getpid())
