"""Grading a program: run it on every test in a sandbox and compare, stopping at the first failure.

A program that loops, raises, does not compile or exceeds a limit is wrong: that is a judgement. Only a failure of the
sandbox itself is crashed. No tests, or tests that cannot be read, are unparsable_reference, never a pass.
Expected outputs never leave this process.
"""

import re
import signal
from typing import Any

from vr.verify.extract import last_program
from vr.verify.programs import compare
from vr.verify.programs.bounded_json import parse
from vr.verify.programs.cases import Cases, UnreadableTestsError, job_json, read_cases
from vr.verify.registry import WorkerContext
from vr.verify.sandbox.child import EXIT_RAISED
from vr.verify.sandbox.sandbox import CPU_SECONDS, Run, Sandbox, SandboxError, SealedFile
from vr.verify.types import Finding, Task

_MAX_NAME_CHARACTERS = 80
_USES_NUMPY = re.compile(r"\b(?:numpy|scipy|pandas|sklearn)\b")
_FUNCTION = re.compile(r"^[ \t]*def[ \t]+(\w+)", re.MULTILINE)
_NUMPY = ("numpy", "numpy.random")
"""What is loaded beforehand for a program that mentions numpy; numpy alone loads its random numbers only when asked."""


def judge_stdin(task: Task, context: WorkerContext) -> Finding:
    """Grade a program that reads stdin and prints."""
    return _judge(task, context, is_call=False)


def judge_call(task: Task, context: WorkerContext) -> Finding:
    """Grade a program that defines a function or a class `Solution`."""
    return _judge(task, context, is_call=True)


def _judge(task: Task, context: WorkerContext, *, is_call: bool) -> Finding:
    try:
        cases = read_cases(task.tests, is_call=is_call)
    except UnreadableTestsError as error:
        return Finding("unparsable_reference", str(error), "none")
    code = last_program(task.answer or "")
    if code is None:
        return Finding("no_answer", "no program", "none")
    return _grade(code, cases, context)


def _grade(code: str, cases: Cases, context: WorkerContext) -> Finding:
    """Run the program on one test after another, up to the first failure."""
    level = context.isolation
    sandbox = sandbox_for(code, level)
    cpu_seconds = 0.0
    with SealedFile(job_json(code, _called_name(code, cases))) as job_file:
        for number, (given, expected) in enumerate(zip(cases.inputs, cases.outputs, strict=True)):
            context.heartbeat()
            try:
                with SealedFile(given) as stdin:
                    run = sandbox.run(job_file, stdin, CPU_SECONDS)
            except SandboxError as failure:
                return Finding("crashed", f"test {number}: {failure}", level, cpu_seconds)
            cpu_seconds += run.cpu_seconds
            compared = _output_fault if cases.name is None else _result_fault
            fault = run_fault(run) or compared(run, expected)
            if fault:
                return Finding("wrong", f"test {number}: {fault}", level, cpu_seconds)
    return Finding("correct", "", level, cpu_seconds)


def _called_name(code: str, cases: Cases) -> str | None:
    """The function of call tests. Where it may have any name and none has its own, it is the first one."""
    if not cases.any_name:
        return cases.name
    names = [name for name in _FUNCTION.findall(code) if not name.startswith("__")]
    return cases.name if cases.name in names or not names else names[0]


_sandboxes: dict[tuple[str, tuple[str, ...]], Sandbox] = {}
"""The sandboxes of this worker process, by level and preloaded modules; they stay warm from one task to the next."""


def sandbox_of(level: str, preload: tuple[str, ...] = ()) -> Sandbox:
    """The sandbox for a program. preload: modules that it needs, loaded before it starts."""
    if (level, preload) not in _sandboxes:
        _sandboxes[level, preload] = Sandbox(level, preload)
    return _sandboxes[level, preload]


def sandbox_for(code: str, level: str) -> Sandbox:
    """The sandbox for a program, with numpy loaded where the program mentions it."""
    return sandbox_of(level, _NUMPY if _USES_NUMPY.search(code) else ())


def close_sandboxes() -> None:
    """End the sandboxes of this worker process."""
    while _sandboxes:
        _sandboxes.popitem()[1].close()


def run_fault(run: Run) -> str:
    """Why a run failed, whatever its output; empty where it did not."""
    if run.reason:
        return run.reason
    if run.exit_code < 0:
        return f"killed by {_signal_name(-run.exit_code)}"
    if run.exit_code == EXIT_RAISED:
        return _exception(message_of(run))
    return f"exit status {run.exit_code}" if run.exit_code else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # most real-time signals have no name


def _exception(message: dict[str, Any]) -> str:
    """The class of an exception and the name that was missing, as the child sends them; a program can forge both."""
    match message:
        case {"error": "MemoryError"}:
            return "memory limit (MemoryError)"
        case {"error": str() as error, "name": str() as name}:
            return f"{error[:_MAX_NAME_CHARACTERS]}: {name[:_MAX_NAME_CHARACTERS]}"
        case {"error": str() as error}:
            return error[:_MAX_NAME_CHARACTERS]
    return "exception"


def _output_fault(run: Run, expected: str) -> str:
    """Compare what was printed with what is expected."""
    given = run.output.decode("utf-8", errors="surrogateescape")
    return "" if compare.same_output(expected, given) else "wrong output"


def _result_fault(run: Run, expected: Any) -> str:
    """Compare the value that was returned with the value that is expected."""
    message = message_of(run)
    if "value" not in message:
        return "no result"
    return "" if compare.same_result(expected, message["value"]) else "wrong result"


def message_of(run: Run) -> dict[str, Any]:
    """What a program sent as its result. It may be forged: it is only data, and empty where it is no JSON object."""
    try:
        message = parse(run.result)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def run_function(code: str, name: str, given: bytes, sandbox: Sandbox) -> Run:
    """Call one function of a program once.

    Args:
        given: its arguments, as of `cases.call_json`.

    Raises:
        SandboxError: the sandbox failed.
    """
    with SealedFile(job_json(code, name)) as job, SealedFile(given) as stdin:
        return sandbox.run(job, stdin, CPU_SECONDS)
