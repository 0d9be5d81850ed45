"""Every attack, cheat and legitimate program, at each level of isolation, as root and as an ordinary user.

That an attack was blocked is shown by the absence of its effect: `attack_driver` plays the host. A control run without
isolation shows that the attacks are real. Each level and user has one driver, a process that runs all programs.
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
from vr.verify.sandbox.isolation import probe

ROOT = str(Path(__file__).parents[3])
CASES = [(level, user) for level in ("native", "full") for user in ("root", "ordinary")]
DRIVER_SECONDS = 400
N_AT_ONCE = 4

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
    """The drivers, some at a time because they mostly wait."""
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
