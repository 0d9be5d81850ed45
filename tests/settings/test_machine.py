"""machine.yaml is optional, checked, and shown complete by its example."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import _settings
from vr.settings.machine import Machine, free_port

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
