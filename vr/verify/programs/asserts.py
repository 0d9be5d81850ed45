"""Judging a program by asserts, as HumanEval, MBPP and LeetCode's `check(candidate)` have them.

The tests are `{"asserts": "<source or list of lines>", "fn_name": "f"}`. In the source, the program's function is known
by its own name and as `candidate`; other names that the source does not define are functions of the program, too. Where
the source defines a function `check`, it is called with the function.

No assert runs in the process of the program. The asserts run in a sandbox of their own (`replay.py`), where each call
of the program is answered with the result of a run of the program on these arguments, in a process of its own. What
crosses the border is plain data. So the program never sees an expected value, and no `__eq__`, exit or patch of a
program has anything to do with the verdict.

Not covered: arguments and results that are no plain data (functions, objects of classes other than LeetCode's nodes);
functions that change their arguments in place (the asserts see them unchanged, so that no program changes what it is
judged by); programs that keep state from one call to the next; asserts that make other calls each time.
"""

import functools
import json
from pathlib import Path
from typing import Any

from vr.verify.extract import last_program
from vr.verify.programs import replay
from vr.verify.programs.cases import UnreadableTestsError, call_json, read_asserts
from vr.verify.programs.grading import message_of, run_fault, run_function, sandbox_for
from vr.verify.registry import WorkerContext
from vr.verify.sandbox import values
from vr.verify.sandbox.child import EXIT_RAISED
from vr.verify.sandbox.sandbox import Run, SandboxError
from vr.verify.types import Finding, Task

_FIRST_CALLS, _MOST_CALLS = 4, 256
"""How many calls are made before the asserts run again: few at first, since most wrong programs fail early."""
_ALL_CALLS, _ALL_STEPS = 20_000, 1_000
"""A wrong program can keep the asserts in a loop, in which most calls need the result of the one before."""
_ALL_CHARACTERS = 16 << 20
"""What all results of one program may come to."""


def judge_asserts(task: Task, context: WorkerContext) -> Finding:
    """Grade a program by asserts. Asserts that fail without the program are an unparsable reference."""
    level = context.isolation
    try:
        source, function = read_asserts(task.tests)
        context.heartbeat()
        status, found = _first_step(level, source, function)
        if status == "unusable":
            raise UnreadableTestsError(*found)
        code = last_program(task.answer or "")
        if code is None:
            return Finding("no_answer", "no program", level)
        return _grade(code, source, function, found, context)
    except UnreadableTestsError as error:
        return Finding("unparsable_reference", str(error), level)
    except SandboxError as failure:
        return Finding("crashed", str(failure), level)


def _grade(code: str, source: str, function: str, calls: list[list[str]], context: WorkerContext) -> Finding:
    """Run the program on the calls that the asserts make, then the asserts on the results, until they have all."""
    results: list[list[str]] = []
    limit, cpu_seconds = _FIRST_CALLS, 0.0
    for _ in range(_ALL_STEPS):
        cpu_seconds += _run_calls(calls, code, results, context)
        if len(results) > _ALL_CALLS or sum(len(text) for *_, text in results) > _ALL_CHARACTERS:
            break
        limit = min(2 * limit, _MOST_CALLS)
        context.heartbeat()
        status, found = _step(context.isolation, source, function, results, limit)
        if status != "calls":
            outcome = "correct" if status == "passed" else "wrong"
            return Finding(outcome, "".join(found), context.isolation, cpu_seconds)
        calls = found
    return Finding("wrong", "the asserts need too many or too long results", context.isolation, cpu_seconds)


def _run_calls(calls: list[list[str]], code: str, results: list[list[str]], context: WorkerContext) -> float:
    """Run the program on each call, add what comes out to the results, and return the processor time in seconds.

    Raises:
        SandboxError: the sandbox failed.
    """
    cpu_seconds = 0.0
    for function, given in calls:
        context.heartbeat()
        run = _run(context.isolation, code, function, given.encode("ascii"))
        cpu_seconds += run.cpu_seconds
        kind, text = _result(run)
        results.append([function, given, kind, text])
        if kind == "fault":
            break  # most likely the asserts fail there
    return cpu_seconds


@functools.lru_cache(maxsize=64)
def _first_step(level: str, source: str, function: str) -> tuple[str, list[Any]]:
    """What the asserts need first, or why they are unusable; the same for all programs, so it is asked once.

    Raises:
        SandboxError: the sandbox failed.
    """
    status, found = _step(level, source, function, [], _FIRST_CALLS)
    if status != "calls":
        return "unusable", found
    if _step(level, source, function, [], _FIRST_CALLS) != (status, found):
        return "unusable", ["the asserts make other calls each time"]
    return status, found


def _step(level: str, source: str, function: str, known: list[list[str]], limit: int) -> tuple[str, list[Any]]:
    """Run the asserts once, with the results that are known: a status of `replay.replay`, and the calls or the reason.

    Raises:
        SandboxError: the sandbox failed.
    """
    run = _run(level, _asserts_program(), "replay", call_json([source, function, known, limit], {"dict": []}))
    match message_of(run):
        case {"value": [str() as status, [*found]]} if not run_fault(run):
            return status, found
    return "failed", [f"the asserts: {run_fault(run) or 'no result'}"]


def _run(level: str, code: str, function: str, given: bytes) -> Run:
    """Call one function of a program. given: its arguments, as of `call_json`. Raises SandboxError."""
    return run_function(code, function, given, sandbox_for(code, level))


@functools.cache
def _asserts_program() -> str:
    """The program that runs the asserts; what it starts with is kept apart from its own names."""
    texts = (Path(module.__file__ or "").read_text(encoding="utf-8") for module in (values, replay))
    return "\n".join(("PRESET = dict(globals())", *texts))


def _result(run: Run) -> tuple[str, str]:
    """How a call of the program went, as `replay.replay` takes it: kind and text."""
    fault = run_fault(run)
    if fault:
        return ("error" if run.exit_code == EXIT_RAISED and not run.reason else "fault"), fault
    message = message_of(run)
    if "value" not in message:
        return "fault", "no result"
    return "value", json.dumps(message["value"])
