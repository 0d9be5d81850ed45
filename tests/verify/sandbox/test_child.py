"""What a program can make of its own process, and what it can make its run look like."""

import json
import signal

import pytest

from vr.verify.sandbox import sandbox
from vr.verify.sandbox.child import EXIT_RAISED

REOPEN = """
import os
for number in range(64):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC):
        try:
            again = os.open(f'/proc/self/fd/{number}', flags | os.O_NONBLOCK)
            os.read(again, 1 << 20)
        except OSError: pass
"""
TAKE_BACK = """
import os
for number in (1, 3):
    again = os.open(f'/proc/self/fd/{number}', os.O_RDONLY | os.O_NONBLOCK)
    for _ in range(3000):
        os.write(number, b'x' * 100)
        try: os.read(again, 1 << 16)
        except BlockingIOError: pass
"""
FLAGS = """
import fcntl, os
for number in range(6):
    for flags in (os.O_NONBLOCK, os.O_APPEND, os.O_DIRECT, os.O_ASYNC, os.O_NONBLOCK | os.O_DIRECT):
        try: fcntl.fcntl(number, fcntl.F_SETFL, flags)
        except OSError: pass
os.write(1, b'y' * 4096); os.write(1, b''); os.write(3, b'')
"""
PROGRAMS = {
    "reopens every descriptor": REOPEN,
    "takes back what it has written": TAKE_BACK,
    "changes the flags of every descriptor": FLAGS,
    "closes every descriptor": "import os\nos.closerange(0, 4096)",
    "closes its result": "import os\nos.close(3)",
    "moves its input": "import os\nos.lseek(0, 1 << 40, 0)",
    "exits with the status of a failed setup": "import os\nos._exit(97)",
    "exits with the status of an exception": f"import os\nos._exit({EXIT_RAISED})",
    "exits with status 255": "import os\nos._exit(255)",
    "ends its first thread alone": "import ctypes, threading\nthreading.Thread(target=int).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)",
    "ends its first thread and computes on": "import ctypes, threading\ndef loop():\n    while True: pass\n"
    "threading.Thread(target=loop).start()\nctypes.CDLL(None).pthread_exit(None)",
    "replaces itself": "import os\nos.execv('/bin/true', ['true'])",
    "exits in a callback at exit": "import atexit, os\natexit.register(os._exit, 97)",
    "writes much at once to its result": "import os\nos.write(3, b'1' * (100 << 20))",
    "passes its result to a thread": "import os, threading\nresult = os.dup(3)\nos.close(3)\n"
    "threading.Thread(target=lambda: os.write(result, b'1' * (20 << 20)), daemon=True).start()",
    "raises a class without a name": "class Meta(type):\n    __name__ = property(lambda self: 1 / 0)\n"
    "class Nameless(Exception, metaclass=Meta): pass\nraise Nameless",
    "raises a name that is none": "raise NameError(name=[1])",
    "breaks the checker's own modules": "import json, os\njson.dumps = os.write = None\n1/0",
    "makes a system call of another machine": "import ctypes\nctypes.CDLL(None).syscall(0x40000000 | 39)",
    "forges a start": "import os\nos.write(3, b'ready')\nfor n in range(4, 20):\n    try: os.write(n, b'ready')\n"
    "    except OSError: pass",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_makes_its_run_look_like_a_failure_of_the_sandbox(run_program, name):
    run_program(PROGRAMS[name], cpu_seconds=0.5)  # would raise SandboxError
    assert run_program("print(input())", stdin=b"7\n").output == b"7\n"


@pytest.mark.parametrize("number", [1, 2, 6, 11, 15, 19, 31, 34, 40, 64])
def test_a_program_may_end_itself_by_any_signal(run_program, number):
    limit = 0.1 if number == signal.SIGSTOP else 1.0  # only that one is waited for; a busy machine starts it slowly
    run = run_program(f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(9)", cpu_seconds=limit)
    expected = (-signal.SIGKILL, "wall limit") if number == signal.SIGSTOP else (-number, "")
    raised = (EXIT_RAISED, "")  # SIGINT becomes KeyboardInterrupt
    assert (run.exit_code, run.reason) == (raised if number == signal.SIGINT else expected)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print(undefined)", {"error": "NameError", "name": "undefined"}),
        ("import no_such_module", {"error": "ModuleNotFoundError", "name": "no_such_module"}),
        ("x" * 200, {"error": "NameError", "name": "x" * 80}),
        ("def f():\n    print(x)\n    x = 1\nf()", {"error": "UnboundLocalError"}),
        ("raise NameError(name=7)", {"error": "NameError"}),
        ("1/0", {"error": "ZeroDivisionError"}),
    ],
)
def test_a_missing_name_is_told(run_program, code, message):
    run = run_program(code)
    assert run.exit_code == EXIT_RAISED
    assert json.loads(run.result) == message


def test_a_missing_function_is_told(run_program):
    run = run_program("def g(): pass", name="f", stdin=b"[[], {}]")
    assert json.loads(run.result) == {"error": "NameError", "name": "f"}


def test_a_program_too_large_to_be_read_is_over_the_memory_limit(run_program, monkeypatch):
    monkeypatch.setattr(sandbox, "_MEMORY_BYTES", 128 << 20)
    run = run_program("#" * (50 << 20))
    assert (run.exit_code, json.loads(run.result)) == (EXIT_RAISED, {"error": "MemoryError"})


def test_a_program_cannot_undo_its_tie_to_the_server(run_program):
    code = "import ctypes\nprint(ctypes.CDLL(None).prctl(1, 0, 0, 0, 0))"  # 1: PR_SET_PDEATHSIG
    assert run_program(code).output == b"-1\n"
