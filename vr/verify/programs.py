"""Grading a program: run it on every test in a sandbox and compare, stopping at the first failure.

A program that loops, raises, does not compile or breaks a limit is ``wrong``: that is a judgement. Only a
failure of the sandbox itself is ``crashed``. No tests, or tests that cannot be read, are
``unparsable_reference``, never a pass. Expected outputs never leave this process.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import Any

from vr.verify import compare
from vr.verify.child import EXIT_RAISED
from vr.verify.extract import last_program
from vr.verify.registry import Workplace
from vr.verify.sandbox import CPU_SECONDS, Run, Sandbox, SandboxError, SealedFile
from vr.verify.types import Finding, Task

USES_NUMPY = re.compile(r"\b(?:numpy|scipy|pandas|sklearn)\b")


class UnreadableTestsError(ValueError):
    """The tests of a task cannot be used; says why."""

    __test__ = False  # not a test class, whatever its name starts with


@dataclass(frozen=True)
class Tests:
    """Checked tests: inputs as sent to the program, outputs as expected, the name for call tests."""

    __test__ = False

    inputs: list[bytes]
    outputs: list[Any]
    name: str | None


def judge_stdin(task: Task, workplace: Workplace) -> Finding:
    """Programs that read stdin and print."""
    return judge_program(task, workplace, is_call=False)


def judge_call(task: Task, workplace: Workplace) -> Finding:
    """Programs that define a function or a class ``Solution``."""
    return judge_program(task, workplace, is_call=True)


def judge_program(task: Task, workplace: Workplace, *, is_call: bool) -> Finding:
    """Grade one program."""
    level = workplace.isolation
    try:
        tests = read_tests(task.tests, is_call=is_call)
    except UnreadableTestsError as error:
        return Finding("unparsable_reference", str(error), "none")
    code = last_program(task.answer or "")
    if code is None:
        return Finding("no_answer", "no program", "none")
    job = json.dumps({"code": code, "name": tests.name}).encode("ascii")
    sandbox = sandbox_of(level, USES_NUMPY.search(code) is not None)
    cpu_seconds = 0.0
    with SealedFile(job) as job_file:
        for number, (given, expected) in enumerate(zip(tests.inputs, tests.outputs, strict=True)):
            workplace.still_alive()
            try:
                with SealedFile(given) as stdin:
                    run = sandbox.run(job_file, stdin, CPU_SECONDS)
            except SandboxError as failure:
                return Finding("crashed", f"test {number}: {failure}", level, cpu_seconds)
            cpu_seconds += run.cpu_seconds
            fault = fault_of(run) or (call_fault(run, expected) if is_call else output_fault(run, expected))
            if fault:
                return Finding("wrong", f"test {number}: {fault}", level, cpu_seconds)
    return Finding("correct", "", level, cpu_seconds)


sandboxes: dict[tuple[str, bool], Sandbox] = {}
"""The sandboxes of this worker process, warm from one task to the next."""


def sandbox_of(level: str, numpy: bool) -> Sandbox:
    """The sandbox for a program: numpy is loaded only where programs mention it."""
    if (level, numpy) not in sandboxes:
        sandboxes[level, numpy] = Sandbox(level, numpy=numpy)
    return sandboxes[level, numpy]


def close_sandboxes() -> None:
    """End the sandboxes of this worker."""
    while sandboxes:
        sandboxes.popitem()[1].close()


def read_tests(text: str | None, *, is_call: bool) -> Tests:
    """Check the tests of a task. Raises UnreadableTestsError."""
    try:
        tests = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise UnreadableTestsError(f"tests are not JSON: {error}") from error
    if not isinstance(tests, dict):
        raise UnreadableTestsError("tests are not a JSON object")
    inputs, outputs, name = tests.get("inputs"), tests.get("outputs"), tests.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise UnreadableTestsError("inputs or outputs are missing")
    if not inputs:
        raise UnreadableTestsError("no tests")
    if len(inputs) != len(outputs):
        raise UnreadableTestsError(f"{len(inputs)} inputs, {len(outputs)} outputs")
    try:
        if not is_call:
            return Tests([encoded(compare.joined(item)) for item in inputs], list(map(compare.joined, outputs)), None)
        if not isinstance(name, str) or not name.isidentifier():
            raise UnreadableTestsError("fn_name is missing or no name")
        return Tests([json.dumps(arguments_of(item)).encode("ascii") for item in inputs], outputs, name)
    except (TypeError, RecursionError) as error:
        raise UnreadableTestsError(str(error)) from error


def encoded(text: str) -> bytes:
    """Input as bytes, with the line end that a last line has; lone surrogates stand for raw bytes."""
    text = text if text.endswith("\n") or not text else text + "\n"
    return text.encode("utf-8", errors="surrogateescape" if is_escaped(text) else "surrogatepass")


def is_escaped(text: str) -> bool:
    """Whether every lone surrogate stands for a byte that was not UTF-8."""
    return all("\udc80" <= character <= "\udcff" for character in re.findall("[\ud800-\udfff]", text))


def arguments_of(given: Any) -> list[Any]:
    """The arguments of one call; dictionaries whose keys are all digits have integer keys. Raises TypeError."""
    if not isinstance(given, list):
        raise TypeError("a call's input is not a list of arguments")
    return [tagged(argument) for argument in given]


def tagged(value: Any) -> Any:
    """JSON with dictionaries as tagged pairs, so that their integer keys survive."""
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if isinstance(value, dict):
        whole = bool(value) and all(re.fullmatch(r"-?\d{1,18}", key, re.ASCII) for key in value)
        return {"dict": [[int(key) if whole else key, tagged(item)] for key, item in value.items()]}
    return value


def fault_of(run: Run) -> str:
    """Why a run failed before its output is looked at, or the empty string."""
    if run.reason:
        return run.reason
    if run.exit_code < 0:
        return f"killed by {signal.Signals(-run.exit_code).name}"
    if run.exit_code == EXIT_RAISED:
        message = decoded(run.result)
        name = str(message.get("error", "exception")) if isinstance(message, dict) else "exception"
        return "memory limit (MemoryError)" if name == "MemoryError" else name[:80]
    return f"exit status {run.exit_code}" if run.exit_code else ""


def output_fault(run: Run, expected: str) -> str:
    """Compare what was printed."""
    given = run.output.decode("utf-8", errors="surrogateescape")
    return "" if compare.same_output(expected, given) else "wrong output"


def call_fault(run: Run, expected: Any) -> str:
    """Compare what was returned."""
    message = decoded(run.result)
    if not isinstance(message, dict) or "value" not in message:
        return "no result"
    return "" if compare.same_result(expected, message["value"]) else "wrong result"


def decoded(result: bytes) -> Any:
    """A program's message; whatever it forged, it is only data."""
    try:
        return json.loads(result)
    except (ValueError, RecursionError):
        return None
