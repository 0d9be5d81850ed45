"""Grading programs: what is correct, what is wrong and why, and input that nobody should have to read."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify import KINDS, Task, Verdict, verify
from vr.verify.pool.pool import run_in_order
from vr.verify.programs import grading
from vr.verify.sandbox.isolation import choose_level
from vr.verify.sandbox.sandbox import Run, Sandbox, SandboxError, SealedFile
from vr.verify.sandbox.server import STOP

pytestmark = pytest.mark.usefixtures("isolation_level")

ECHO_SUM = "print(sum(map(int, input().split())))"


def stdin_task(code: str, inputs: Any, outputs: Any) -> Task:
    return Task("stdin", f"```python\n{code}\n```", None, json.dumps({"inputs": inputs, "outputs": outputs}))


def call_task(code: str, inputs: Any, outputs: Any, name: str = "f") -> Task:
    tests = {"inputs": inputs, "outputs": outputs, "fn_name": name}
    return Task("call", f"```python\n{code}\n```", None, json.dumps(tests))


@pytest.fixture
def found(judge_programs: Callable[..., list[Verdict]]) -> Callable[..., list[tuple[str, str]]]:
    """Judges programs: outcome and detail of each."""
    return lambda *tasks: [(verdict.outcome, verdict.detail) for verdict in judge_programs(*tasks)]


def test_a_program_is_correct_only_when_every_test_passes_and_the_first_failure_is_named(found):
    good = stdin_task(ECHO_SUM, ["1 2", "3 4"], ["3", "7"])
    bad = stdin_task(ECHO_SUM, ["1 2", "3 4", "5 6"], ["3", "8", "0"])
    assert found(good, bad) == [("correct", ""), ("wrong", "test 1: wrong output")]


def test_a_function_of_another_name_is_called_only_where_the_prompt_does_not_tell_the_name(found):
    def task(code: str, **more: Any) -> Task:
        tests = {"inputs": [[2]], "outputs": [4], "fn_name": "twice"} | more
        return Task("call", f"```python\n{code}\n```", None, json.dumps(tests))

    other = "def double(n):\n    return half(n) * 4\n\ndef half(n):\n    return n // 2"
    in_class = "class Solution:\n    def __init__(self): self.k = 2\n    def double(self, n): return self.k * n"
    named_last = "def helper(n):\n    return n\n\ndef twice(n):\n    return 2 * helper(n)"
    assert found(task(other)) == [("wrong", "test 0: NameError: twice")]
    assert found(*(task(code, any_name=True) for code in (other, in_class, named_last))) == [("correct", "")] * 3
    assert found(task("x = 4", any_name=True)) == [("wrong", "test 0: NameError: twice")]


def test_programs_that_fail_are_wrong_and_say_how(found):
    cases = {
        "1/0": "test 0: ZeroDivisionError",
        "def f(:": "test 0: SyntaxError",
        "print(undefined)": "test 0: NameError: undefined",
        "import no_such_module": "test 0: ModuleNotFoundError: no_such_module",
        "print(3)\nraise KeyError": "test 0: KeyError",  # the output matches; the exception decides
        "import os\nprint(3, flush=True)\nos._exit(5)": "test 0: exit status 5",
        "import ctypes\nctypes.string_at(0)": "test 0: killed by SIGSEGV",
        "import os\nos.kill(os.getpid(), 40)": "test 0: killed by signal 40",
        "x = bytearray(5 << 30)": "test 0: memory limit (MemoryError)",
        "while True: print('x' * 10**6)": "test 0: output limit",
        "": "no program",
    }
    outcomes = found(*(stdin_task(code, ["1 2"], ["3"]) for code in cases))
    assert outcomes == [("wrong" if code else "no_answer", detail) for code, detail in cases.items()]


SEND = "import os\ndef send(data):\n    while data: data = data[os.write(3, data):]\n    os._exit({status})\n"
FORGED = {
    "a dictionary that is a number": b'{"value": {"dict": 5}}',
    "a dictionary of triples": b'{"value": {"dict": [[1, 2, 3]]}}',
    "a key that is a list": b'{"value": {"dict": [[[], 1]]}}',
    "a value without a tag": b'{"value": {}}',
    "no object": b"[1]",
    "no JSON": b"\xff\x00",
    "deep nesting": b'{"value": ' + b"[" * 100_000,
    "a surrogate in an error's name": b'{"error": "\\ud800"}',
    "an error that is a list": b'{"error": [1], "name": {}}',
}


@pytest.mark.parametrize("status", [0, 81])
def test_a_forged_result_is_a_wrong_answer_and_no_fault_of_the_checker(found, status):
    programs = [SEND.format(status=status) + f"def f(a): send({forged!r})" for forged in FORGED.values()]
    outcomes = found(*(call_task(program, [[1]], [{"a": 1}]) for program in programs))
    assert {outcome for outcome, _ in outcomes} == {"wrong"}
    for _, detail in outcomes:
        detail.encode("utf-8")  # a table can store it


def test_a_result_of_sixteen_million_digits_costs_the_grader_no_time(judge_programs):
    program = SEND.format(status=0) + "def f(a): send(memoryview(b'{\"value\": ' + b'9' * 16_000_000 + b'}'))"
    (verdict,) = judge_programs(call_task(program, [[1]], [1]))
    assert (verdict.outcome, verdict.detail) == ("wrong", "test 0: no result")
    assert verdict.cpu_seconds < 10  # reading the digits takes a minute


def test_eight_million_lines_of_nonsense_cost_the_grader_no_memory(found):
    program = "import os\nlines = memoryview(b'\\xff\\n' * 8_300_000)\nwhile lines: lines = lines[os.write(1, lines):]"
    assert found(stdin_task(program, [""], ["1"])) == [("wrong", "test 0: wrong output")]


def test_programs_start_with_the_usual_names_and_pythons_own_keep_their_meaning(found):
    programs = {
        "print(gcd(4, 6), comb(4, 2), isqrt(17), inf, reduce(xor, [1, 2]))": "2 6 4 inf 3",
        "print(pow(2, 5, 7), pow(2, 3))": "4 8",  # those of math and operator take two numbers
        "print(open(0).read())": "text",
        "print(input())\nexit()": "text",
        "def f(n): return n and 1 + f(n - 1)\nprint(f(40_000))": "40000",
        "print(sys.stdin.mode, sys.stdout.mode, sys.stdin.name)": "r w <stdin>",  # fast readers look at them
        "print(datetime.date(2024, 1, 1), random.random() < 1, bisect_left([1, 2], 2))": "2024-01-01 True 1",
    }
    assert found(*(stdin_task(code, ["text"], [output]) for code, output in programs.items())) == [
        ("correct", "")
    ] * len(programs)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    result=st.binary(max_size=30) | st.text(alphabet='{}[]",:dictvalueror\\\\ud801', max_size=40).map(str.encode),
    output=st.binary(max_size=30),
    exit_code=st.integers(-70, 255),
    reason=st.sampled_from(["", "cpu limit"]),
    expected=st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
)
def test_whatever_a_run_gives_is_judged_without_a_fault(result, output, exit_code, reason, expected):
    run = Run(output, result, exit_code, reason, 0.0)
    assert isinstance(grading.run_fault(run), str)
    assert isinstance(grading._result_fault(run, expected), str)
    assert isinstance(grading._output_fault(run, str(expected)), str)


@pytest.mark.slow
def test_an_endless_loop_is_wrong_by_its_processor_time(judge_programs):
    (verdict,) = judge_programs(stdin_task("while True: pass", ["1"], ["1"]))
    assert (verdict.outcome, verdict.detail) == ("wrong", "test 0: cpu limit")
    assert 4 <= verdict.cpu_seconds < 5.5


def test_call_programs(found):
    cases = [
        (call_task("def f(a, b): return a + b", [[1, 2]], [3]), ("correct", "")),
        (call_task("class Solution:\n    def f(self, a): return a", [["x"]], ["x"]), ("correct", "")),
        (call_task("def f(a): return a", [[1]], [[1]]), ("correct", "")),
        (call_task("def f(a): return a", [[1]], [2]), ("wrong", "test 0: wrong result")),
        (call_task("def f(a): return 1", [[1]], [True]), ("wrong", "test 0: wrong result")),
        (call_task("def g(a): return a", [[1]], [1]), ("wrong", "test 0: NameError: f")),
        (call_task("", [[4, 6]], [2], "gcd"), ("no_answer", "no program")),
        (call_task("x = 1", [[4, 6]], [2], "gcd"), ("wrong", "test 0: NameError: gcd")),  # a preset is no answer
        (call_task("from math import gcd", [[4, 6]], [2], "gcd"), ("correct", "")),
        (
            call_task("class Solution:\n    def gcd(self, a, b): return gcd(a, b)", [[4, 6]], [2], "gcd"),
            ("correct", ""),
        ),
        (call_task("def f(): return 1", [[1]], [1]), ("wrong", "test 0: TypeError")),
        (call_task("def f(a): print(a)", [[1]], [1]), ("wrong", "test 0: wrong result")),
        (call_task("def f(d): return sorted(d)", [[{"2": 1, "10": 1}]], [[2, 10]]), ("correct", "")),
        (
            call_task("def f(a):\n    x = []\n    x.append(x)\n    return x", [[1]], [1]),
            ("wrong", "test 0: ValueError"),
        ),
    ]
    assert found(*(task for task, _ in cases)) == [expected for _, expected in cases]


def test_every_test_gets_a_new_solution_and_new_globals(found):
    code = (
        "seen = []\nclass Solution:\n    n = 0\n    def f(self, a):\n        seen.append(a)\n        Solution.n += 1\n"
    )
    code += "        return [len(seen), Solution.n]"
    assert found(call_task(code, [[1], [2]], [[1, 1], [1, 1]])) == [("correct", "")]


def test_random_numbers_differ_between_runs():
    code = "import random\nimport numpy\nprint(random.random(), numpy.random.random())"
    sandbox = Sandbox(choose_level(), ("numpy", "numpy.random"))
    try:
        with SealedFile(json.dumps({"code": code, "name": None}).encode()) as job, SealedFile(b"") as stdin:
            outputs = {sandbox.run(job, stdin).output for _ in range(3)}
    finally:
        sandbox.close()
    assert len(outputs) == 3


def test_a_stop_that_comes_too_late_does_not_touch_the_next_run():
    sandbox = Sandbox(choose_level())
    try:
        sandbox.start().send(STOP)
        with (
            SealedFile(json.dumps({"code": "print(input())", "name": None}).encode()) as job,
            SealedFile(b"7") as stdin,
        ):
            assert [sandbox.run(job, stdin).output for _ in range(2)] == [b"7\n", b"7\n"]
    finally:
        sandbox.close()


def test_a_sandbox_that_is_killed_is_started_again_and_its_failure_is_no_verdict_on_the_program():
    sandbox = Sandbox(choose_level())
    try:
        with (
            SealedFile(json.dumps({"code": "print(input())", "name": None}).encode()) as job,
            SealedFile(b"7") as stdin,
        ):
            sandbox.start()
            assert sandbox.process is not None
            sandbox.process.kill()
            sandbox.process.wait()
            with pytest.raises(SandboxError):
                sandbox.run(job, stdin)
            assert sandbox.run(job, stdin).output == b"7\n"
    finally:
        sandbox.close()


BAD_TESTS = {
    "nothing": None,
    "empty": "",
    "malformed": '{"inputs": [',
    "a list": "[]",
    "a number": "5",
    "no tests": '{"inputs": [], "outputs": []}',
    "no outputs": '{"inputs": ["1"]}',
    "different lengths": '{"inputs": ["1", "2"], "outputs": ["1"]}',
    "inputs that are no list": '{"inputs": "1", "outputs": "1"}',
    "an output that is an object": '{"inputs": ["1"], "outputs": [{"a": 1}]}',
    "null outputs": '{"inputs": ["1"], "outputs": [null]}',
    "deep nesting": "[" * 100_000,
    "NUL bytes": "\0",
}


def test_tests_that_cannot_be_used_are_an_unparsable_reference(judge_programs):
    tasks = [Task("stdin", "```python\nprint(1)\n```", None, tests) for tests in BAD_TESTS.values()]
    tasks += [Task("call", "```python\ndef f(): 1\n```", None, tests) for tests in BAD_TESTS.values()]
    tasks += [
        Task("call", "```python\ndef f(): 1\n```", None, '{"inputs": [[1]], "outputs": [1]}'),  # no fn_name
        Task("call", "```python\ndef f(): 1\n```", None, '{"inputs": [[1]], "outputs": [1], "fn_name": 5}'),
        Task("call", "```python\ndef f(): 1\n```", None, '{"inputs": [5], "outputs": [1], "fn_name": "f"}'),
    ]
    outcomes = [verdict.outcome for verdict in judge_programs(*tasks)]
    # Null is a result that a call may have; as printed text it is not.
    named = dict(zip([*BAD_TESTS, *BAD_TESTS, "unnamed", "numbered", "unlisted"], outcomes, strict=True))
    assert set(named.values()) == {"unparsable_reference"}


def test_answers_that_nobody_should_have_to_read(judge_programs):
    nines = "9" * 5000
    huge_integers = f'{{"inputs": [[{nines}]], "outputs": [{nines}0], "fn_name": "f"}}'
    ten_megabytes = "import sys\nsys.stdout.write('1 ' * (5 << 20))"
    cases = {
        "10 MB of the right output": (stdin_task(ten_megabytes, [""], ["1 " * (5 << 20)]), "correct"),
        "10 MB of the wrong output": (stdin_task(ten_megabytes, [""], ["1"]), "wrong"),
        "10 MB of input": (
            stdin_task("print(len(open(0).read()))", ["x" * (10 << 20)], [str((10 << 20) + 1)]),
            "correct",
        ),
        "a 100 kB program": (stdin_task("x = 1\n" * 16_000 + "print(x)", [""], ["1"]), "correct"),
        "100 kB of nonsense": (stdin_task("(" * 100_000, [""], ["1"]), "wrong"),
        "NUL bytes in the program": (stdin_task("print(1)\0", [""], ["1"]), "wrong"),
        "NUL bytes printed": (stdin_task("print('\\0')", [""], ["1"]), "wrong"),
        "invalid UTF-8 in the program": (stdin_task("print('\udcff')", [""], ["1"]), "wrong"),
        "invalid UTF-8 printed": (stdin_task("import os\nos.write(1, b'\\xff')", [""], ["1"]), "wrong"),
        "invalid UTF-8 in the input": (
            stdin_task("import os\nprint(os.read(0, 9)[0])", ["\udcff"], ["255"]),
            "correct",
        ),
        "integers of 5,000 digits": (
            stdin_task("print(int(input()) + 1)", ["9" * 5000], ["1" + "0" * 5000]),
            "correct",
        ),
        "a returned integer of 5,000 digits": (
            Task("call", "```python\ndef f(a): return a * 10\n```", None, huge_integers),
            "correct",
        ),
        "not a number": (call_task("def f(a): return float('nan')", [[1]], [1]), "wrong"),
        "infinity": (call_task("def f(a): return float('inf')", [[1]], [1]), "wrong"),
        "a huge result": (call_task("def f(a): return list(range(3 * 10**6))", [[1]], [1]), "wrong"),
        "prose": (Task("stdin", "I would sort the list.", None, '{"inputs": [""], "outputs": ["1"]}'), "no_answer"),
        "no answer": (Task("stdin", None, None, '{"inputs": [""], "outputs": ["1"]}'), "no_answer"),
    }
    verdicts = judge_programs(*(task for task, _ in cases.values()))
    outcomes = {name: verdict.outcome for name, verdict in zip(cases, verdicts, strict=True)}
    assert outcomes == {name: outcome for name, (_, outcome) in cases.items()}


def mixed_table() -> list[Task]:
    """Tasks near and far from every limit, to be judged alike on a quiet and on a busy machine."""
    burn = "import time\nend = time.process_time() + {0}\nwhile time.process_time() < end: pass\nprint(1)"
    tasks = [stdin_task(burn.format(seconds), [""], ["1"]) for seconds in (0.1, 1.0, 2.0, 9)]
    tasks += [stdin_task(ECHO_SUM, ["1 2"] * 3, ["3"] * 3) for _ in range(10)]
    tasks += [stdin_task("import time\ntime.sleep(1)\nprint(1)", [""], ["1"]), stdin_task("1/0", [""], ["1"])]
    tasks += [Task("math", rf"\boxed{{(x+{n})^2}}", f"x^2+{2 * n}x+{n * n}") for n in range(8)]
    tasks += [Task("math", r"\boxed{9^{9^{9^9}}}", "5"), Task("choice", "The answer is C", "C")]
    return tasks


@pytest.mark.slow
def test_verdicts_do_not_depend_on_load():
    tasks = mixed_table()
    kinds = {name: KINDS[name] for name in {task.verifier for task in tasks}}
    expected = ["correct"] * 3 + ["wrong"] + ["correct"] * 11 + ["wrong"] + ["correct"] * 8 + ["wrong", "correct"]

    def outcomes(workers: int) -> list[str]:
        # Below verify(), which would not use more workers than there are cores.
        return [verdict.outcome for verdict in run_in_order(tasks, kinds, workers, choose_level())]

    assert outcomes(2) == expected
    assert outcomes(8) == expected


def test_the_worker_count_does_not_exceed_the_cores():
    started = time.monotonic()
    list(verify([Task("choice", "The answer is C", "C")] * 20, workers=500))
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killing_the_caller_ends_every_process():
    code = (
        "import json, os, sys\nfrom vr.verify import Task, verify\n"
        "tests = json.dumps({'inputs': [''], 'outputs': ['1']})\n"
        "loop = Task('stdin', '```python\\nwhile True: pass\\n```', None, tests)\n"
        "quick = Task('choice', 'The answer is C', 'C')\n"
        "stream = verify([quick, loop, loop], workers=2)\nnext(stream)\nprint('started', flush=True)\nnext(stream)"
    )
    marker = f"vr-kill-test-{os.getpid()}"
    caller = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "VR_MARKER": marker}, cwd=os.getcwd()
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"started\n"
    time.sleep(0.5)
    family = descendants(caller.pid)
    assert family
    caller.kill()
    caller.wait()
    caller.stdout.close()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and any(alive(pid) for pid in family):
        time.sleep(0.1)
    assert [pid for pid in family if alive(pid)] == []


def descendants(pid: int) -> list[int]:
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_verdicts_record_level_and_times(judge_programs, isolation_level):
    verdict: Verdict = judge_programs(stdin_task(ECHO_SUM, ["1 2"], ["3"]))[0]
    assert verdict.isolation == isolation_level
    assert 0 < verdict.cpu_seconds < 5
    assert verdict.wall_seconds > 0
