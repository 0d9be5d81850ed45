"""Rows of LiveCodeBench: the prompt, and the public and private tests in the layout of APPS.

Private tests are JSON, or base64 of zlib of a pickle of the JSON text. The pickle is never loaded: its instructions are
read one by one, and only those that make one text are admitted, so that a file of another content runs nothing and
fills no memory.

The prompt is that of the paper's code (zhouxiangxin1998/SkyThought@6454fea): it shows no starter code, so a model is
not told the name of the function, and a program without a function of that name is called by its first one, which is
what that code always calls.
"""

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Sequence
from typing import Any

from vr.settings.params import HubBenchmark
from vr.sources import wordings
from vr.sources.benchmarks.entry import QUESTION, Entry, Row
from vr.verify.programs.bounded_json import parse

STDIN = f"{wordings.STDIN} {QUESTION}"
FUNCTIONAL = f"{wordings.FUNCTION_BODY} {QUESTION}"
MAX_TESTS_BYTES = 1 << 30
"""Of one question's private tests, unpacked."""
_ONE_TEXT = {
    "PROTO", "FRAME", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "MEMOIZE", "BINPUT", "LONG_BINPUT", "STOP"
}  # fmt: skip
"""Instructions of a pickle of one text."""

Test = dict[str, str]
"""input, output, testtype (stdin or functional)."""


def livecodebench(row: Row, _entry: Entry, _settings: HubBenchmark, name: str) -> dict[str, Any]:
    """A row of LiveCodeBench; all of its tests count. The first public test says of which form they are.

    Raises:
        ValueError: the tests cannot be read.
    """
    try:
        tests = [*_tests(row["public_test_cases"]), *private_tests(row["private_test_cases"])]
        if not tests:
            raise ValueError("no tests")
        is_stdin = tests[0]["testtype"] == "stdin"
        cases = _printed(tests) if is_stdin else _called(tests, row["metadata"])
    except ValueError as error:
        raise ValueError(f"{name}: its tests cannot be read: {error}") from error
    return {
        "question": (STDIN if is_stdin else FUNCTIONAL).replace(QUESTION, row["question_content"]),
        "verifier": "stdin" if is_stdin else "call",
        "tests": json.dumps(cases),
    }


def private_tests(text: str) -> list[Test]:
    """Unpack a row's private tests.

    Raises:
        ValueError: they are not what is said above, or larger than MAX_TESTS_BYTES.
    """
    return _tests(text if text.lstrip().startswith("[") else _text_of_pickle(_unpacked(text)))


def _unpacked(text: str) -> bytes:
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(base64.b64decode(text.strip(), validate=True), MAX_TESTS_BYTES + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"neither JSON nor base64 of zlib: {error}") from error
    if len(content) > MAX_TESTS_BYTES:
        raise ValueError(f"more than {MAX_TESTS_BYTES} bytes when unpacked")
    if not stream.eof:
        raise ValueError("cut off")
    return content


def _text_of_pickle(content: bytes) -> str:
    """The text that a pickle of one text holds, without loading it."""
    texts = []
    for instruction, value, _ in pickletools.genops(content):
        if instruction.name not in _ONE_TEXT:
            raise ValueError(f"a pickle of more than one text ({instruction.name})")
        texts += [value] if isinstance(value, str) else []
    if len(texts) != 1:
        raise ValueError(f"a pickle of {len(texts)} texts")
    return texts[0]


def _tests(text: str) -> list[Test]:
    found = parse(text)
    if not isinstance(found, list) or not all(map(_is_test, found)):
        raise ValueError("should be a list of tests with input, output and testtype")
    return found


def _is_test(test: Any) -> bool:
    return isinstance(test, dict) and all(isinstance(test.get(name), str) for name in ("input", "output", "testtype"))


def _printed(tests: Sequence[Test]) -> dict[str, Any]:
    return {"inputs": [test["input"] for test in tests], "outputs": [test["output"] for test in tests]}


def _called(tests: Sequence[Test], metadata: str) -> dict[str, Any]:
    """Calls of the function that the metadata name; each line of an input is one argument, as JSON."""
    described = parse(metadata)
    if not isinstance(described, dict) or not isinstance(described.get("func_name"), str):
        raise ValueError("metadata without func_name")
    return {
        "inputs": [[parse(line) for line in test["input"].split("\n") if line.strip()] for test in tests],
        "outputs": [parse(test["output"]) for test in tests],
        "fn_name": described["func_name"],
        "any_name": True,
    }
