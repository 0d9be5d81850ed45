"""The tests of a program, read from a task's JSON and checked.

The layout is that of APPS and TACO: `{"inputs": [...], "outputs": [...]}`, and `"fn_name"` for call tests. Asserts are
`{"asserts": "...", "fn_name": "f"}`. Call tests whose prompt does not tell the name have `"any_name": true` too.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from vr.verify.programs.bounded_json import parse
from vr.verify.programs.compare import joined
from vr.verify.sandbox.values import MAX_DEPTH


class UnreadableTestsError(ValueError):
    """The tests of a task cannot be used; says why."""


@dataclass(frozen=True)
class Cases:
    """Checked tests.

    inputs: what is sent to the program, one per test: stdin, or the arguments of the call as JSON (`sandbox.child`).
    outputs: what is expected, one per test: text, or the value of the call.
    name: the function of call tests; None for stdin tests.
    any_name: whether the function may have another name, because the prompt does not tell it.
    """

    inputs: list[bytes]
    outputs: list[Any]
    name: str | None
    any_name: bool = False


def read_cases(text: str | None, *, is_call: bool) -> Cases:
    """Check the tests of a task.

    Args:
        text: the JSON text of the task.
        is_call: whether they are call tests.

    Raises:
        UnreadableTestsError: they cannot be used, or there are none.
    """
    inputs, outputs, name, any_name = _parsed(text)
    _require_shallow([inputs, outputs])
    try:
        if not is_call:
            return Cases([_encoded(joined(item)) for item in inputs], list(map(joined, outputs)), None)
        if not isinstance(name, str) or not name.isidentifier():
            raise UnreadableTestsError("fn_name is missing or no name")
        return Cases([call_json(_arguments(item), {"dict": []}) for item in inputs], outputs, name, any_name)
    except TypeError as error:
        raise UnreadableTestsError(str(error)) from error


def _parsed(text: str | None) -> tuple[list[Any], list[Any], Any, bool]:
    """Inputs, outputs, the function's name and whether it may have another, as they stand in the JSON text."""
    tests = _json_object(text)
    inputs, outputs = tests.get("inputs"), tests.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise UnreadableTestsError("inputs or outputs are missing")
    if not inputs:
        raise UnreadableTestsError("no tests")
    if len(inputs) != len(outputs):
        raise UnreadableTestsError(f"{len(inputs)} inputs, {len(outputs)} outputs")
    return inputs, outputs, tests.get("fn_name"), tests.get("any_name") is True


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        tests = parse(text or "")
    except ValueError as error:
        raise UnreadableTestsError(f"tests are not JSON: {error}") from error
    if not isinstance(tests, dict):
        raise UnreadableTestsError("tests are not a JSON object")
    return tests


def read_asserts(text: str | None) -> tuple[str, str]:
    """Check the tests of a task whose tests are asserts.

    Args:
        text: the JSON text of the task.

    Returns:
        The source of the asserts, and the name of the function or of the method of `Solution`.

    Raises:
        UnreadableTestsError: they cannot be used.
    """
    tests = _json_object(text)
    source, name = tests.get("asserts"), tests.get("fn_name")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "\n".join(source)
    if not isinstance(source, str):
        raise UnreadableTestsError("asserts are missing, or neither text nor lines")
    name = name.removeprefix("Solution().") if isinstance(name, str) else ""
    if not name.isidentifier():
        raise UnreadableTestsError("fn_name is missing or no name")
    return source, name


def _require_shallow(value: Any, depth: int = 0) -> None:
    """Refuse tests that are nested deeper than any value that can cross the border of the sandbox."""
    if depth > MAX_DEPTH:
        raise UnreadableTestsError("nested too deeply")
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth + 1)


def _encoded(text: str) -> bytes:
    """Input as bytes, its last line ended; a lone surrogate that stands for a raw byte becomes that byte."""
    text = text if text.endswith("\n") or not text else text + "\n"
    return text.encode("utf-8", errors="surrogateescape" if _is_escaped(text) else "surrogatepass")


def _is_escaped(text: str) -> bool:
    """Whether every lone surrogate stands for a byte that was not UTF-8."""
    return all("\udc80" <= character <= "\udcff" for character in re.findall("[\ud800-\udfff]", text))


def job_json(code: str, name: str | None) -> bytes:
    """What the child reads first: the program and, for call tests, the function that is called."""
    return json.dumps({"code": code, "name": name}).encode("ascii")


def call_json(arguments: list[Any], keywords: dict[str, Any]) -> bytes:
    """What the child reads for one call. Both are values as JSON of `sandbox.values`; keywords: a dictionary."""
    return json.dumps([arguments, keywords]).encode("ascii")


def _arguments(given: Any) -> list[Any]:
    """The arguments of one call. Raises TypeError."""
    if not isinstance(given, list):
        raise TypeError("a call's input is not a list of arguments")
    return [_tagged(argument) for argument in given]


def _tagged(value: Any) -> Any:
    """JSON with dictionaries as tagged pairs: where all keys are integers as text, they are sent as integers."""
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        whole = bool(value) and all(re.fullmatch(r"-?\d{1,18}", key, re.ASCII) for key in value)
        return {"dict": [[int(key) if whole else key, _tagged(item)] for key, item in value.items()]}
    return value
