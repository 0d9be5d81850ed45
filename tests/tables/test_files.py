"""Files and folders appear whole or not at all, and nothing that stands there is edited."""

import os
import subprocess
from pathlib import Path

import pytest

from vr.tables.files import atomic_file, atomic_folder, require_writable

LIVE = os.getppid()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_a_file_appears_at_the_end_and_alone(tmp_path):
    path = tmp_path / "new" / "table"
    with atomic_file(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent  # a rename works only within one file system
    assert path.read_text() == "half"
    assert names(path.parent) == ["table"]


def break_off(atomic, path: Path, write) -> None:
    """Write a part and fail before it is done."""
    with atomic(path) as part:
        write(part)
        raise RuntimeError("broken off")


def test_an_error_leaves_no_file_or_the_old_one(tmp_path):
    path = tmp_path / "table"
    for before in ([], ["table"]):
        with pytest.raises(RuntimeError, match="broken off"):
            break_off(atomic_file, path, lambda part: part.write_text("half"))
        assert names(tmp_path) == before
        path.write_text("old")
    assert path.read_text() == "old"


def test_a_block_that_writes_no_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "table"):
        pass
    assert names(tmp_path) == []


def test_a_read_only_file_is_replaced_and_its_other_hard_link_stays(tmp_path):
    cache, path = tmp_path / "cache", tmp_path / "table"
    cache.write_text("old")
    cache.chmod(0o444)
    path.hardlink_to(cache)
    with atomic_file(path) as part:
        part.write_text("new")
    assert (path.read_text(), cache.read_text()) == ("new", "old")


def test_a_folder_appears_at_the_end_and_alone(tmp_path):
    path = tmp_path / "new" / "model"
    with atomic_folder(path) as part:
        (part / "config.json").write_text("{}")
        assert not path.exists()
    assert names(path) == ["config.json"]
    assert names(path.parent) == ["model"]


def test_an_error_leaves_no_folder_or_the_old_one(tmp_path):
    path = tmp_path / "model"
    for before in ([], ["model"]):
        with pytest.raises(RuntimeError, match="broken off"):
            break_off(atomic_folder, path, lambda part: (part / "weights").write_text("half"))
        assert names(tmp_path) == before
        path.mkdir(exist_ok=True)
        (path / "old").touch()
    assert names(path) == ["old"]


def test_a_folder_takes_the_place_of_what_stood_there(tmp_path):
    cache = tmp_path / "cache"
    cache.write_text("old")
    cache.chmod(0o444)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "weights").hardlink_to(cache)
    (tmp_path / "file").hardlink_to(cache)
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").touch()
    for name in ("folder", "file", "link"):
        with atomic_folder(tmp_path / name) as part:
            (part / "new").touch()
        assert names(tmp_path / name) == ["new"]
    assert names(tmp_path) == ["cache", "file", "folder", "kept", "link"]
    assert cache.read_text() == "old"
    assert names(tmp_path / "kept") == ["mine"]


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_leftovers_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path, dead, atomic):
    (tmp_path / f".out.{dead}.part").mkdir()
    (tmp_path / f".out.{dead}.part" / "weights").touch()
    (tmp_path / f".out.{dead}.old").touch()
    kept = [f".out.{LIVE}.part", f".out.{LIVE}.old", f".other.{dead}.part", f".out.x.{dead}.part", ".out.mine.part"]
    for name in kept:
        (tmp_path / name).touch()
    with atomic(tmp_path / "out") as part:
        assert names(tmp_path) == sorted([*kept, *([part.name] if part.exists() else [])])
        if atomic is atomic_file:
            part.touch()
    assert names(tmp_path) == sorted([*kept, "out"])


def test_a_leftover_of_a_dead_process_with_our_id_is_in_nobodys_way(tmp_path):
    left = tmp_path / f".out.{os.getpid()}.part"
    left.mkdir()
    (left / "stale").touch()
    with atomic_folder(tmp_path / "out") as part:
        (part / "new").touch()
    assert names(tmp_path / "out") == ["new"]


def test_a_name_with_signs_of_a_pattern_is_a_plain_name(tmp_path, dead):
    (tmp_path / f".[a]*.{dead}.part").touch()
    (tmp_path / f".a.{dead}.part").touch()
    with atomic_file(tmp_path / "[a]*") as part:
        part.touch()
    assert names(tmp_path) == sorted([f".a.{dead}.part", "[a]*"])


def test_what_can_be_written_is_not_made_by_asking(tmp_path):
    (tmp_path / "old.parquet").touch()
    (tmp_path / "model").mkdir()
    for name in ("old.parquet", "model", "new/folder/table.parquet", "new/model"):
        require_writable(tmp_path / name)
    assert names(tmp_path) == ["model", "old.parquet"]


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(OSError, match=r"data/traces/seed=0\.parquet: cannot be written: .*data is no folder"):
        require_writable(tmp_path / "data" / "traces" / "seed=0.parquet")


def test_a_table_in_whose_place_a_folder_stands_is_refused(tmp_path):
    (tmp_path / "weights.parquet").mkdir()
    with pytest.raises(OSError, match=r"weights\.parquet: cannot be written: a folder stands there"):
        require_writable(tmp_path / "weights.parquet")


@pytest.mark.parametrize("name", ["table.parquet", "new/table.parquet"])
def test_an_output_in_a_read_only_folder_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or not mode & os.W_OK)  # root may all
    with pytest.raises(OSError, match=rf"{name}: cannot be written: the folder {tmp_path} is read-only"):
        require_writable(tmp_path / name)


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("File too large (os error 27)")])
def test_a_full_disk_is_an_error_that_names_what_could_not_be_written(tmp_path, atomic, error):
    path = tmp_path / "models" / "base"
    with pytest.raises(OSError, match=f"^{path}: cannot be written: .*(No space|too large)"), atomic(path):
        raise error
    assert names(path.parent) == []


@pytest.mark.parametrize(
    "error", [FileNotFoundError("base.source = 'x': no such model"), OSError("models/base: cannot be written: full")]
)
def test_an_error_that_names_its_file_stays_as_it_is(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(type(error)) as caught, atomic_file(Path("models/base")):
        raise error
    assert caught.value is error
