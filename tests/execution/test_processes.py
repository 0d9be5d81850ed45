"""A process ends when its parent does, whether the parent ends by itself, is killed, or was gone already."""

import os
import signal
import subprocess
import sys
import threading

import psutil

CHILD = "from vr.execution.processes import end_with_parent; import sys, time; end_with_parent(int(sys.argv[1])); "
PARENT = f"""
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", {CHILD!r} + "print('ready', flush=True); time.sleep(60)", str(os.getpid())],
    stdout=subprocess.PIPE,
)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_a_child_whose_parent_had_ended_before_ends_at_once() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    for parent in (gone.pid, 1):  # an id that nobody has, and one of a process that is not the parent
        ended = subprocess.run([sys.executable, "-c", CHILD + "time.sleep(60)", str(parent)], check=False, timeout=30)
        assert ended.returncode == 1


def test_a_process_that_nobody_has_waited_for_counts_as_ended() -> None:
    from vr.execution.processes import when_ended

    ended = threading.Event()
    with subprocess.Popen(["sleep", "60"]) as process:
        when_ended(process.pid, ended.set)
        assert not ended.wait(0.2)
        os.kill(process.pid, signal.SIGKILL)
        assert ended.wait(10)
