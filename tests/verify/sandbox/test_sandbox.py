"""Every attack, cheat and legitimate program, at each level of isolation, as root and as an ordinary user.

A blocked attack is proven by the absence of its effect: `attack_driver` plays the host. A control run
without isolation shows that the attacks are real.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.verify.sandbox import attacks
from tests.verify.sandbox.users import as_ordinary_user
from vr.verify.sandbox import isolation
from vr.verify.sandbox.isolation import IsolationUnavailableError, Probe, choose_level, probe

ROOT = str(Path(__file__).parents[3])
CASES = [(level, user) for level in ("native", "full") for user in ("root", "ordinary")]
DRIVER_SECONDS = 400
N_AT_ONCE = 3

pytestmark = pytest.mark.slow


def run_driver(level: str, user: str) -> dict[str, Any]:
    """One run of the driver, in a process of its own; {"skip": reason} where it cannot be had."""
    if level != "unsafe" and not probe(level).holds:
        return {"skip": f"level {level} does not hold here: {probe(level).broken}"}
    if user == "root" and os.geteuid() != 0:
        return {"skip": "not root"}
    command, reason = [sys.executable, "-m", "tests.verify.sandbox.attack_driver", level], ""
    if user == "ordinary":
        command, reason = as_ordinary_user(command, ROOT)
    if reason:
        return {"skip": reason}
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ROOT, "HOME": "/tmp"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def reports() -> dict[tuple[str, str], Future[dict[str, Any]]]:
    """All runs, some at a time: they mostly wait."""
    pool = ThreadPoolExecutor(N_AT_ONCE)
    return {case: pool.submit(run_driver, *case) for case in [*CASES, ("unsafe", "own")]}


@pytest.fixture
def report(reports, request) -> dict[str, Any]:
    found: dict[str, Any] = reports[request.param].result()
    if "skip" in found:
        pytest.skip(found["skip"])
    return found


each_case = pytest.mark.parametrize("report", CASES, indirect=True, ids="-".join)


@each_case
@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_attack_has_no_effect(report, name):
    seen = report["attacks"][name]
    assert seen["effects"] == []
    assert set(seen["outcomes"]) == {"wrong"}, seen  # it got nothing, and the sandbox itself held
    assert seen["honest_after"] == "correct"
    assert seen["seconds"] < 60


@each_case
@pytest.mark.parametrize("name", [*attacks.CHEATS_STDIN, *attacks.CHEATS_CALL])
def test_cheat_does_not_pass(report, name):
    assert report["cheats"][name]["outcome"] == "wrong"


@each_case
@pytest.mark.parametrize("name", [*attacks.HONEST_STDIN, *attacks.HONEST_CALL])
def test_legitimate_program_is_accepted(report, name):
    assert report["honest"][name] == {"outcome": "correct", "detail": ""}


@each_case
def test_nothing_is_left_on_the_host(report):
    assert report["effects_at_end"] == []


def test_the_runs_were_as_two_different_users(reports):
    users = {case: found.result().get("user") for case, found in reports.items()}
    for (level, user), number in users.items():
        if level != "unsafe" and number is not None:
            assert (number == 0) == (user == "root")


@pytest.mark.parametrize("name", sorted(attacks.MAY_BE_LET_LOOSE))
def test_control_the_same_attack_succeeds_without_isolation(reports, name):
    seen = reports["unsafe", "own"].result()["attacks"][name]
    assert seen["effects"] or "correct" in seen["outcomes"]


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
