"""machine.yaml is optional, checked, and shown complete by its example."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import _settings
from vr.settings.machine import Machine, cores, free_port

EXAMPLE = Path(__file__).parents[2] / "vr" / "recipes" / "machines" / "example.yaml"


def test_machine_yaml_is_optional_and_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert _settings.machine().zero_stage == 2
    Path("machine.yaml").write_text("train_ranks: 2\n")
    assert _settings.machine().train_ranks == 2
    Path("machine.yaml").write_text("train_ranks: 0\n")
    with pytest.raises(ValueError, match=r"machine.yaml(.|\n)*train_ranks"):
        _settings.machine()
    Path("machine.yaml").write_text("stages_at_once: 0\ncolour: red\n")
    with pytest.raises(ValueError, match=r"machine.yaml: stages_at_once = 0(.|\n)*machine.yaml: colour = 'red'"):
        _settings.machine()


def test_the_example_shows_every_entry_and_is_valid():
    example = YAML(typ="safe", pure=True).load(EXAMPLE.read_text(encoding="utf-8"))
    assert list(example) == list(Machine.model_fields)
    assert Machine(**example).model_dump() == example


def test_every_entry_is_explained_in_the_example():
    for name in Machine.model_fields:
        assert re.search(rf"^{name}: \S+ +# \S", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE), name


def test_the_verification_is_told_what_it_has_to_know():
    machine = Machine(verify_workers=3, allow_unsafe_execution=True)
    assert machine.verify_options == {"workers": 3, "allow_unsafe": True}


def test_a_free_port_is_one_where_nobody_listens():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
    assert cores() == 2


@pytest.mark.parametrize(
    ("n_cores", "mib", "processes", "threads"),
    [
        (16, 16, 1, 1),  # as large as the miniature: fastest with one
        (2, 17, 1, 1),  # two stages side by side, of one thread each
        (16, 17, 1, 8),
        (16, 17, 2, 4),
        (16, 17, 16, 1),
        (1, 17, 1, 1),
    ],
)
def test_threads_are_the_cores_shared_out_to_stages_and_processes(monkeypatch, n_cores, mib, processes, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(n_cores)))
    monkeypatch.setattr("vr.settings.machine.gpus", lambda: 0)
    assert Machine().threads_of(mib << 20, processes) == threads
    assert Machine(threads=3).threads_of(mib << 20, processes) == 3


def test_one_stage_at_once_has_all_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr("vr.settings.machine.gpus", lambda: 0)
    assert Machine().at_once == 2
    assert Machine(stages_at_once=1).threads_of(1 << 30) == 4
    monkeypatch.setattr("vr.settings.machine.gpus", lambda: 8)
    assert Machine().at_once == 1
