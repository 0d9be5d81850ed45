"""Tasks of reasoning_gym, judged by its own scorer. Their tests are `{"dataset": "chain_sum", "entry": {...}}`.

An answer is correct where the scorer gives the full score; partial credit does not make an answer correct. The scorer
is third-party code that reads model text, so it runs inside the sandbox, a process for each answer; what comes out is
only data. An entry whose own answer does not get the full score is unparsable_reference, whatever the answer is.
"""

import functools
from pathlib import Path

from vr.verify.extract import final_answer
from vr.verify.gym import program
from vr.verify.programs.cases import call_json
from vr.verify.programs.grading import message_of, run_fault, run_function, sandbox_of
from vr.verify.registry import WorkerContext
from vr.verify.sandbox.sandbox import Run, SandboxError
from vr.verify.types import Finding, Task

_PRELOAD = ("vr.verify.gym.preload",)


def judge_reasoning_gym(task: Task, context: WorkerContext) -> Finding:
    """Score the boxed answer, or the whole text where there is no box."""
    level, tests = context.isolation, task.tests or ""
    solution = task.answer or ""
    answer = final_answer(solution) or solution.strip()
    try:
        context.heartbeat()
        if fault := _unusable(level, tests):
            return Finding("unparsable_reference", fault, level)
        if not answer:
            return Finding("no_answer", isolation=level)
        context.heartbeat()
        run = _run(level, "score", tests, answer)
    except SandboxError as failure:
        return Finding("crashed", str(failure), level)
    is_right, detail = _judged(run)
    return Finding("correct" if is_right else "wrong", detail, level, run.cpu_seconds)


@functools.lru_cache(maxsize=64)
def _unusable(level: str, tests: str) -> str:
    """Why an entry cannot be used; empty where it can be. Asked once for all answers to a question.

    Raises:
        SandboxError: the sandbox failed.
    """
    run = _run(level, "unusable", tests)
    if fault := run_fault(run):
        return f"the entry's own answer: {fault}"
    reason = message_of(run).get("value")
    return reason if isinstance(reason, str) else "no result"


def _judged(run: Run) -> tuple[bool, str]:
    """Whether a run of `score` gave the full score, and what it gave."""
    if fault := run_fault(run):
        return False, f"the scorer: {fault}"
    match message_of(run):
        case {"value": {"tuple": [float() as points, str() as refusal]}}:
            detail = f"score {points:.10g}"
            return program.is_full(points), f"{detail}; {refusal}" if refusal else detail
    return False, "no score"


def _run(level: str, function: str, *arguments: str) -> Run:
    """Call a function of `program` inside the sandbox.

    Raises:
        SandboxError: the sandbox failed.
    """
    return run_function(_code(), function, call_json(list(arguments), {"dict": []}), sandbox_of(level, _PRELOAD))


@functools.cache
def _code() -> str:
    return Path(program.__file__).read_text(encoding="utf-8")
