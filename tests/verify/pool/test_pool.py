"""The worker pool: order, deadlines, deaths, leaks. Uses verifiers that misbehave on purpose."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.verify.pool.odd_kinds import FINDINGS, ODD
from tests.verify.sandbox.attack_driver import MARK
from vr.verify import Task, Verdict, verify
from vr.verify.pool import forkserver
from vr.verify.pool.handles import Forkserver, Worker, read_message
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


def test_an_answer_that_takes_the_checker_over_its_processor_time_is_wrong_and_no_other_task_suffers():
    verdicts = run("sleep 0", "hang", "sleep 0", "hang", "sleep 0")  # inside C code
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong", "correct", "wrong", "correct"]
    assert verdicts[1].detail == "the answer takes the checker over its limit of 0.4 s of processor time"


def test_an_answer_on_which_the_checker_faults_twice_is_wrong_and_the_next_task_is_judged():
    verdicts = run("crash", "sleep 0", f"signal {signal.SIGABRT:d}", "sleep 0", workers=1)
    assert [verdict.outcome for verdict in verdicts] == ["wrong", "correct", "wrong", "correct"]
    assert verdicts[0].detail == "the answer ended the checker by SIGSEGV, twice"
    assert verdicts[2].detail == "the answer ended the checker by SIGABRT, twice"


def test_a_worker_that_is_ended_from_outside_twice_is_crashed():
    verdicts = run("exit 3", f"signal {signal.SIGKILL:d}", "signal 40", "sleep 0")
    assert [verdict.outcome for verdict in verdicts] == ["crashed", "crashed", "crashed", "correct"]
    assert [verdict.detail for verdict in verdicts[:3]] == [
        "worker ended by status 3", "worker ended by SIGKILL", "worker ended by signal 40",
    ]  # fmt: skip


def test_a_checker_that_fails_once_judges_the_task_again(tmp_path):
    (verdict,) = run(f"fail_once {tmp_path / 'mark'}")
    assert (tmp_path / "mark").exists()
    assert verdict.outcome == "correct"


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


def test_an_answer_that_reaches_the_limits_of_memory_or_recursion_is_wrong_and_other_exceptions_are_crashed():
    verdicts = run("raise", "grow 4000", "recurse", "grow 100")
    assert [verdict.outcome for verdict in verdicts] == ["crashed", "wrong", "wrong", "correct"]
    assert [verdict.detail for verdict in verdicts[:3]] == [
        "checker: RuntimeError: no luck",
        "the answer takes the checker over its limit of 1 GiB of memory",
        "the answer takes the checker over its limit of recursion",
    ]


def test_a_worker_whose_verifier_raised_judges_no_other_task():
    verdicts = run("sleep 0", "seen", "recurse", "seen", workers=1)
    assert [verdict.detail for verdict in verdicts[1::2]] == ["sleep seen", "seen"]


def test_what_earlier_tasks_left_in_a_worker_makes_no_answer_wrong():
    verdicts = run("sleep 0", "recurse_unless_first", "seen", workers=1)
    assert [verdict.outcome for verdict in verdicts] == ["correct", "correct", "correct"]
    assert verdicts[2].detail == "recurse_unless_first seen"  # in the new worker


@pytest.mark.parametrize("what", sorted(FINDINGS.keys() - {"surrogate"}))
def test_a_finding_that_no_table_can_hold_is_the_checkers_failure(what):
    found, other = run(f"find {what}", "sleep 0")
    assert (found.outcome, other.outcome) == ("crashed", "correct")
    assert found.detail.startswith("checker: ")


def test_what_a_program_named_is_stored_in_the_verdict_without_control_characters():
    (verdict,) = run("find surrogate")
    assert (verdict.outcome, verdict.detail) == ("wrong", r"name \ud800 is not \x1b[2J defined")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x00\x00\x02{]",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x04null",
        b"\x00\x00\x00\x10" + b"\xff" * 16,
        b"\x00\x01\x00\x00" + b"[" * 65536,
        b'\x00\x00\x00\x0e{"verdict": 1}',
        b"\x00\x00\x00\x02",  # and then the end
    ],
)
def test_a_worker_that_sends_no_verdict_is_crashed_and_ended(sent):
    ended = []

    class Stub:
        def end_worker(self, worker):
            ended.append(worker)

    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(sent)
    with ours:
        worker = Worker(1, ours)
        assert read_message(worker, Stub()).outcome == "crashed"
    assert ended == [worker]


def test_a_verifier_that_cannot_be_loaded_says_so_in_every_verdict():
    kind = dataclasses.replace(ODD, warm_up="tests.verify.pool.odd_kinds:fail_to_warm_up")
    verdicts = list(run_in_order([Task("odd", "sleep 0")] * 2, {"odd": kind}, 2, "none"))
    assert [verdict.outcome for verdict in verdicts] == ["crashed", "crashed"]
    assert verdicts[0].detail == "the verifier cannot be used: ModuleNotFoundError: No module named 'oddity'"


def test_a_machine_that_gives_no_time_is_a_timeout_and_a_checker_that_uses_it_is_not():
    # 0.4 s of processor time but 2 s of wall time are allowed.
    tasks = [Task("odd", answer) for answer in ("sleep 0.8", "burn 0.8", "sleep 9")]
    verdicts = list(run_in_order(tasks, {"odd": dataclasses.replace(ODD, wall_seconds=2.0)}, 2, "none"))
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong", "timeout"]
    assert verdicts[2].detail == "the checker is over its limit of 2 s of wall time"


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


def test_a_forkserver_that_is_killed_is_started_again_once_and_no_verdict_is_lost():
    before = set(psutil.Process().children())
    stream = run_in_order((Task("odd", f"sleep 0.{n}") for n in range(6)), {"odd": ODD}, 2, "none")
    first = next(stream)
    (process,) = set(psutil.Process().children()) - before
    process.kill()
    verdicts = [first, *stream]
    assert [verdict.detail for verdict in verdicts] == [f"sleep 0.{n}" for n in range(6)]


def test_a_forkserver_that_is_killed_again_and_again_is_an_error_in_words():
    with pytest.raises(RuntimeError, match="forkserver has ended"):
        run("end_the_forkserver")


def test_a_machine_without_room_for_a_process_gets_time_to_find_some(monkeypatch):
    tries = iter([BlockingIOError(), BlockingIOError(), 12345])

    def fork():
        result = next(tries)
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr("vr.verify.pool.forkserver.os.fork", fork)
    assert forkserver._fork() == 12345


def test_a_worker_is_killed_though_a_process_of_its_number_has_ended_before(monkeypatch):
    # the kernel gives numbers again: 7 was a sandbox's, and is now the worker's
    ended, killed = [(7, 0), (0, 0)], []
    monkeypatch.setattr(forkserver.os, "waitpid", lambda pid, _options: ended.pop(0) if pid == -1 else (7, 9))
    monkeypatch.setattr(forkserver.os, "kill", lambda pid, number: killed.append((pid, number)))
    forkserver._reap_ended({})
    ended.append((0, 0))
    assert forkserver._kill_and_reap(7, {7: None}) == -signal.SIGKILL
    assert killed == [(7, signal.SIGKILL)]


def test_workers_end_with_the_forkserver_and_the_forkserver_with_its_caller():
    code = (
        "from tests.verify.pool.odd_kinds import ODD; from vr.verify import Task;"
        "from vr.verify.pool.pool import run_in_order; import psutil;"
        "stream = run_in_order([Task('odd', 'sleep 0')] + [Task('odd', 'sleep 60')] * 3, {'odd': ODD}, 3, 'none');"
        "next(stream); print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True); next(stream)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in caller.stdout.readline().split()]
    caller.kill()
    caller.communicate()
    assert len(pids) >= 3  # the fork server and its workers
    assert alive(pids) == []


def test_workers_end_with_a_forkserver_that_is_killed():
    forkserver = Forkserver({"odd": ODD}, "none")
    workers = [forkserver.fork_worker() for _ in range(2)]
    for worker in workers:
        worker.begin(0, Task("odd", "sleep 60"), ODD)
    forkserver.process.kill()
    assert alive([worker.pid for worker in workers]) == []
    forkserver.close()


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that do not end within some seconds."""
    patience = time.monotonic() + 10
    while time.monotonic() < patience:
        pids = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
        if not pids:
            break
        time.sleep(0.05)
    return pids


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
