"""The code that a program reaches: an edit there must start its work anew, an edit elsewhere must not."""

from pathlib import Path

import pytest

from vr.execution import code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """vr/{a,b,c,d}.py and stages/step.py: step imports a, a imports b lazily, c is named as a worker, d by nobody."""
    files = {
        "vr/__init__.py": "",
        "vr/room/__init__.py": "",
        "vr/room/a.py": "def run():\n    from vr.room import b\n    return b\n",
        "vr/room/b.py": "import json, numpy\nWORKER = 'vr.room.c:main'\n",
        "vr/room/c.py": "from vr.room.a import run\n",
        "vr/room/d.py": "# says vr.room.b in a comment only\n",
        "stages/__init__.py": "",
        "stages/step.py": "from vr.room.a import run\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_imports_are_followed_through_functions_worker_names_and_circles(project: Path) -> None:
    assert names(code.reached(project / "stages" / "step.py"), project) == [
        "stages/step.py", "vr/__init__.py", "vr/room/__init__.py", "vr/room/a.py", "vr/room/b.py", "vr/room/c.py",
    ]  # fmt: skip


def test_a_module_that_nobody_imports_is_not_reached(project: Path) -> None:
    assert "vr/room/d.py" not in names(code.reached(project / "stages" / "step.py"), project)
    assert names(code.reached(project / "vr" / "room" / "d.py"), project) == ["vr/room/d.py"]


def test_a_missing_program_is_an_error(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        code.reached(project / "nowhere.py")
