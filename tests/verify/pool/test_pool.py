"""The worker pool: order, deadlines, deaths, leaks. Uses verifiers that misbehave on purpose."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import psutil
import pytest

from tests.verify.pool.odd_kinds import ODD
from tests.verify.sandbox.attack_driver import MARK
from vr.verify import Task, Verdict, verify
from vr.verify.pool.handles import Forkserver
from vr.verify.pool.pool import run_in_order


def run(*answers: str, workers: int = 2) -> list[Verdict]:
    tasks = [Task("odd", answer) for answer in answers]
    return list(run_in_order(tasks, {"odd": ODD}, workers, "none"))


def test_verdicts_come_in_task_order_when_tasks_finish_in_reverse():
    answers = [f"sleep {seconds}" for seconds in (0.6, 0.4, 0.2, 0.0)]
    verdicts = run(*answers, workers=4)
    assert [verdict.detail for verdict in verdicts] == answers
    assert verdicts[0].wall_seconds > verdicts[3].wall_seconds


def test_verdicts_stream_before_the_last_task_is_done():
    tasks = [Task("odd", "sleep 0"), Task("odd", "sleep 1.0")]
    started = time.monotonic()
    stream = run_in_order(tasks, {"odd": ODD}, 2, "none")
    next(stream)
    first_after = time.monotonic() - started
    next(stream)
    assert time.monotonic() - started - first_after > 0.5


def test_a_hung_worker_is_killed_inside_c_code_and_its_task_alone_times_out():
    verdicts = run("sleep 0", "hang", "sleep 0", "hang", "sleep 0")
    assert [verdict.outcome for verdict in verdicts] == ["correct", "timeout", "correct", "timeout", "correct"]
    assert "0.4 s" in verdicts[1].detail


def test_a_worker_that_dies_is_crashed_and_the_next_task_is_judged():
    verdicts = run("crash", "sleep 0", "exit 3", "sleep 0", workers=1)
    assert [verdict.outcome for verdict in verdicts] == ["crashed", "correct", "crashed", "correct"]
    assert "SIGSEGV" in verdicts[0].detail
    assert "status 3" in verdicts[2].detail


def test_a_worker_that_is_killed_from_outside_has_its_task_judged_by_another(tmp_path):
    verdicts = run(f"die_once {tmp_path / 'mark'}", "sleep 0")
    assert (tmp_path / "mark").exists()
    assert [verdict.outcome for verdict in verdicts] == ["correct", "correct"]


def test_tasks_are_taken_as_workers_become_free():
    taken = []

    def tasks():
        for n in range(100):
            taken.append(n)
            yield Task("choice", r"\boxed{B}", "B")

    stream = verify(tasks(), kinds={"choice"}, workers=1)
    for _ in range(5):
        assert next(stream).outcome == "correct"
    assert len(taken) < 10
    stream.close()


def test_a_task_of_a_kind_that_was_not_announced_is_an_error():
    with pytest.raises(ValueError, match="task 0: verifier 'choice' is not one of math"):
        list(verify(iter([Task("choice", "A", "A")]), kinds={"math"}))


def test_an_exception_and_a_memory_limit_in_the_checker_are_crashed():
    verdicts = run("raise", "grow 4000", "grow 100")
    assert [verdict.outcome for verdict in verdicts] == ["crashed", "crashed", "correct"]
    assert verdicts[0].detail == "checker: RuntimeError: no luck"
    assert verdicts[1].detail == "checker: memory limit"


def test_waiting_counts_less_than_computing():
    # 0.4 s of processor time but 2 s of wall time are allowed.
    tasks = [Task("odd", answer) for answer in ("sleep 0.8", "burn 0.8", "sleep 9")]
    verdicts = list(run_in_order(tasks, {"odd": dataclasses.replace(ODD, wall_seconds=2.0)}, 2, "none"))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "timeout", "timeout"]


def test_heartbeats_restart_the_deadline():
    # 2 s in all, more than the limit of 1.5 s, but never more than 0.1 s without a sign.
    kind = dataclasses.replace(ODD, wall_seconds=1.5)
    (verdict,) = run_in_order([Task("odd", "beat 20")], {"odd": kind}, 1, "none")
    assert verdict.outcome == "correct"


def test_hooks_run_before_the_forks_and_at_the_end_of_each_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("VR_ODD_HOOKS", str(tmp_path))
    hooks = {name: f"tests.verify.pool.odd_kinds:{name}" for name in ("warm_up", "clean_up")}
    kind = dataclasses.replace(ODD, **hooks)
    verdicts = list(run_in_order([Task("odd", "sleep 0.3")] * 4, {"odd": kind}, 2, "none"))
    assert [verdict.outcome for verdict in verdicts] == ["correct"] * 4
    (warmed,) = tmp_path.glob("warm_up-*")  # once, in the fork server
    cleaned = {path.name.split("-")[1] for path in tmp_path.glob("clean_up-*")}
    assert len(cleaned) == 2
    assert warmed.name.split("-")[1] not in cleaned


def test_a_caller_that_stops_early_leaves_no_process():
    before = children()
    stream = verify([Task("choice", "B", "B")] * 50)
    next(stream)
    stream.close()
    assert children() == before


def test_a_forkserver_that_is_killed_is_an_error_in_words():
    forkserver = Forkserver({"odd": ODD}, "none")
    forkserver.process.kill()
    forkserver.process.wait()
    with pytest.raises(RuntimeError, match="forkserver has ended"):
        forkserver.fork_worker()
    forkserver.close()


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def shared_memory_nobody_uses() -> set[str]:
    """Shared memory, by file and by System V, that no living process has mapped: what a leak leaves behind."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped += maps.read_text()
    files = {name for name in os.listdir("/dev/shm") if f"/dev/shm/{name}" not in mapped}
    files = {name for name in files if not name.startswith(MARK)}  # attacks without a sandbox, run by other tests
    segments = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return files | {f"segment {fields[1]}" for fields in segments if fields[6] == "0"}


def left_over(before: set[str]) -> set[str]:
    """Shared memory that was not there before and stays: other programs of the machine make some for a moment."""
    found = shared_memory_nobody_uses() - before
    patience = time.monotonic() + 20
    while found and time.monotonic() < patience:
        time.sleep(0.2)
        found &= shared_memory_nobody_uses()
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("isolation_level")
def test_a_thousand_verifications_leak_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tests = '{"inputs": ["1 2", "3 4"], "outputs": ["3", "7"]}'
    program = "```python\nprint(sum(map(int, input().split())))\n```"
    kinds = [
        Task("math", r"\boxed{\frac{2}{4}}", "0.5"),
        Task("stdin", program, None, tests),
        Task("choice", "The answer is C.", "C"),
        Task("math", r"\boxed{7}", "7"),
        Task("stdin", "```python\n1/0\n```", None, tests),
    ]
    list(verify(kinds))  # whatever is loaded once is loaded now
    descriptors, processes, shared = os.listdir("/proc/self/fd"), children(), shared_memory_nobody_uses()
    outcomes = [verdict.outcome for verdict in verify(kinds * 200)]
    assert outcomes == ["correct", "correct", "correct", "correct", "wrong"] * 200
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert children() == processes
    assert left_over(shared) == set()
    assert list(tmp_path.iterdir()) == []
