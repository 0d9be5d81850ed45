"""Which limit ends a program, and that only what the program does itself counts against it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vr.verify.sandbox import limits, sandbox
from vr.verify.sandbox.limits import STARVED, STARVED_FACTOR, Limits
from vr.verify.sandbox.sandbox import Run, Sandbox, SandboxError, SealedFile

LITTLE_WORK = """
import time
while True:
    end = time.time() + 0.0015
    while time.time() < end: pass
    time.sleep(0.05)
"""
BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\nprint('burnt')\n"


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(60)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        LITTLE_WORK,
    ],
    ids=["sleeps", "stops itself", "works 3 % of the time"],
)
def test_a_program_that_waits_is_ended_after_twice_its_processor_time(run_program, code):
    started = time.monotonic()
    run = run_program(code, cpu_seconds=0.3)
    assert run.reason == "wall limit"
    assert time.monotonic() - started >= 0.6


def test_a_program_that_loops_is_ended_at_its_limit_of_the_exact_clock(run_program):
    run = run_program("while True: pass", cpu_seconds=0.3)
    assert run.reason == "cpu limit"
    assert 0.3 <= run.cpu_seconds < 2


def test_a_program_that_ends_by_itself_over_its_limit_is_over_its_limit(run_program):
    run = run_program(BURN.format(0.01), cpu_seconds=0.01)
    assert run.reason == "cpu limit"


def test_a_program_just_under_its_limit_is_not_ended_early(run_program):
    run = run_program(BURN.format(0.97), cpu_seconds=1.0)
    assert (run.reason, run.output) == ("", b"burnt\n")


def test_the_limit_that_the_kernel_counts_in_ticks_is_wider(run_program):
    run = run_program("import resource\nprint(resource.getrlimit(resource.RLIMIT_CPU))", cpu_seconds=4)
    assert run.output == b"(5, 5)\n"


def test_a_program_that_kills_itself_is_not_over_any_limit(run_program):
    run = run_program("import os\nos.kill(os.getpid(), 9)")
    assert (run.reason, run.exit_code) == ("killed", -signal.SIGKILL)


def test_time_without_a_processor_is_not_waiting():
    # Two processes on one core: the kernel gives almost nothing to the idle class while the other one runs.
    core = min(os.sched_getaffinity(0))
    prefix = f"import os, time\nos.sched_setaffinity(0, [{core}])\n"
    idle_class = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
    competitor = subprocess.Popen([sys.executable, "-c", prefix + "while True: pass"])
    starved = subprocess.Popen([sys.executable, "-c", prefix + idle_class + "while True: pass"])
    try:
        time.sleep(0.2)  # until both have started
        watched = Limits(starved.pid, cpu_seconds=5.0)
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            assert watched.exceeded() == ""
            time.sleep(0.01)
        assert watched.seconds_waited < 0.3
    finally:
        for process in (competitor, starved):
            process.kill()
            process.wait()


def test_a_program_that_never_gets_a_processor_says_nothing_about_itself(monkeypatch):
    monkeypatch.setattr(limits, "_wants_processor", lambda *_: True)
    watched = Limits(os.getpid(), cpu_seconds=0.01)
    monkeypatch.setattr(limits, "process_cpu_seconds", lambda _: 0.0)
    end = time.monotonic() + 10
    while not (reason := watched.exceeded()) and time.monotonic() < end:
        time.sleep(0.01)
    assert reason == STARVED


def test_a_run_on_a_starved_machine_is_a_failure_of_the_sandbox(monkeypatch, isolation_level):
    run = Run(b"", b"", -9, STARVED, 0.25)
    monkeypatch.setattr(sandbox._Collector, "collect", lambda *_: (run, True))
    own = Sandbox(isolation_level)
    message = f"the machine is too busy: 0.25 s of processor time in {2 * STARVED_FACTOR:g} s"
    with SealedFile(b'{"code": "", "name": null}') as job, pytest.raises(SandboxError, match=message):
        own.run(job, job, cpu_seconds=2)
    own.close()


def test_the_thread_over_the_bound_is_never_made(run_program):
    code = "import os, threading, time\nthreading.stack_size(65536)\n"
    code += "for n in range(1, 1000):\n"
    code += "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    os.write(1, b'%d\\n' % n)"
    run = run_program(code)
    assert run.reason == "thread limit"
    assert run.output.split()[-1] == b"127"  # and the first thread


def test_where_the_kernel_asks_no_leave_for_threads_a_look_finds_them(monkeypatch):
    watched = Limits(os.getpid(), cpu_seconds=60)
    monkeypatch.setattr(limits, "_thread_numbers", lambda _: [str(os.getpid())] * 129)
    monkeypatch.setattr(limits, "process_cpu_seconds", lambda _: 0.0)
    time.sleep(0.1)  # longer than from one look to the next
    assert watched.exceeded() == "thread limit"


def test_threads_that_start_threads_at_the_same_time_stay_under_twice_the_bound(run_program):
    code = "import os, threading, time\nthreading.stack_size(65536)\n"
    code += "def start():\n    os.write(1, b'x')\n"
    code += "    while True: threading.Thread(target=start, daemon=True).start()\n"
    code += "start()"
    run = run_program(code)
    assert run.reason == "thread limit"
    assert len(run.output) < 256  # each has said so, if it came to it


def test_any_number_of_threads_may_run_one_after_another(run_program):
    code = "import threading\nfor n in range(300):\n    thread = threading.Thread(target=int)\n    thread.start()\n"
    code += "    thread.join()\nprint('done')"
    assert run_program(code).output == b"done\n"
