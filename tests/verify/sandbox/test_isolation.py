"""Which level is chosen: the strongest that holds, none without the caller's leave."""

import os

import pytest

from vr.verify.sandbox import isolation
from vr.verify.sandbox.isolation import IsolationUnavailableError, Probe, choose_level, probe


def test_without_any_level_programs_are_refused_and_the_reason_is_given(monkeypatch, caplog):
    monkeypatch.setattr(isolation, "probe", lambda level: Probe(level, ("read a file",), ""))
    with pytest.raises(IsolationUnavailableError, match="native: open to read a file"):
        choose_level()
    assert choose_level(allow_unsafe=True) == "unsafe"
    assert "without isolation; open are: read a file" in caplog.text


def test_a_level_that_lets_one_attack_through_is_not_used(monkeypatch):
    found = {"full": Probe("full", ("send a datagram",), ""), "native": Probe("native", (), "")}
    monkeypatch.setattr(isolation, "probe", found.__getitem__)
    assert choose_level() == "native"


def test_a_bubblewrap_that_cannot_work_here_leaves_native(monkeypatch, tmp_path):
    # As in a container whose system call filter forbids new namespaces.
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    probe.cache_clear()
    try:
        assert probe("full").broken == "full: the sandbox did not start"
        if probe("native").holds:
            assert choose_level() == "native"
    finally:
        probe.cache_clear()
