"""The command for people: `python -m vr.verify program|math|choice|selfcheck`.

Prints the verdict and why, without control characters. Exit status: 0 correct, 1 wrong or no answer, 2 not judged.
"""

import argparse
import io
import json
import sys
from pathlib import Path

from vr.tables.vocabulary import JUDGED
from vr.verify import selfcheck
from vr.verify.api import verify
from vr.verify.extract import final_answer
from vr.verify.printable import visible
from vr.verify.sandbox import isolation
from vr.verify.types import Task, Verdict


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: the command line without the program's name; None: that of this process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a detail may hold any letter, a terminal may not
    options = _parser().parse_args(arguments)
    try:
        return _check_this_machine() if options.command == "selfcheck" else _judge(options)
    except (OSError, RuntimeError) as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 2


def _check_this_machine() -> int:
    for line in selfcheck.report():
        print(line)
    return 0 if selfcheck.all_well() else 2


def _judge(options: argparse.Namespace) -> int:
    """Judge the answer that the command line names, and print the verdict."""
    task = _program_task(options) if options.command == "program" else _answer_task(options)
    unsafe = options.command == "program" and options.allow_unsafe_execution
    if unsafe:
        _warn_of_what_is_open()
    verdict = next(iter(verify([task], workers=1, allow_unsafe=unsafe)))
    _print_verdict(verdict)
    return 0 if verdict.outcome == "correct" else 1 if verdict.outcome in JUDGED else 2


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m vr.verify",
        description="Judge one answer and say why.",
        epilog="Exit status: 0 correct, 1 wrong or no answer, 2 not judged.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    program = commands.add_parser("program", help="run a program on tests in the sandbox")
    program.add_argument("file", type=Path, help="a Python file, or a solution with a fenced block")
    program.add_argument("--tests", type=Path, required=True, help="JSON: inputs and outputs, or asserts; and fn_name")
    program.add_argument("--allow-unsafe-execution", action="store_true", help="run even without any isolation")
    for name, text in (("math", "compare a mathematical answer"), ("choice", "compare a letter from A to J")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--gold", required=True, help="the reference answer or a reference solution")
        command.add_argument("--answer", required=True, help="the answer, or a solution that names one")
    commands.add_parser("selfcheck", help="which isolation this machine offers, and what is open")
    return top


def _program_task(options: argparse.Namespace) -> Task:
    """The task of `program`: asserts where the tests have them, calls where they name a function, else stdin tests."""
    code = options.file.read_text(encoding="utf-8", errors="surrogateescape")
    tests = options.tests.read_text(encoding="utf-8", errors="surrogateescape")
    answer = code if "```" in code else f"```python\n{code}\n```"
    return Task(_kind_of(tests), answer, None, tests)


def _kind_of(tests: str) -> str:
    """The kind that judges by these tests; `stdin`, which will say what is wrong with them, where they are no tests."""
    try:
        keys = dict(json.loads(tests))
    except (ValueError, TypeError, RecursionError):
        return "stdin"
    return "asserts" if keys.get("asserts") else "call" if keys.get("fn_name") else "stdin"


def _answer_task(options: argparse.Namespace) -> Task:
    """The task of `math` and `choice`: a bare answer counts as boxed."""
    named = final_answer(options.answer) is not None
    return Task(options.command, options.answer if named else rf"\boxed{{{options.answer}}}", options.gold)


def _warn_of_what_is_open() -> None:
    """Print what an unconfined program could do, where the program will run unconfined."""
    if not selfcheck.all_well():
        could = ", ".join(isolation.probe("unsafe").got_through)
        print(f"warning: no isolation; a program can: {could}", file=sys.stderr)


def _print_verdict(verdict: Verdict) -> None:
    print(f"outcome: {verdict.outcome}")
    if verdict.detail:
        print(f"detail: {verdict.detail}")
    print(f"isolation: {verdict.isolation}")
    print(f"seconds: {verdict.cpu_seconds:.3f} processor, {verdict.wall_seconds:.3f} wall")


if __name__ == "__main__":
    sys.exit(main())
