"""What runs in the forked child: put the descriptors in place, confine, read the job, run the program.

The program runs as ``__main__`` with the usual imports already in its globals. What it returns (call tests)
goes out as type-exact JSON on a descriptor of its own; the grader compares. Nothing here knows what output
is expected, and the program may do with its own process what it likes: it decides nothing.
Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import io
import json
import os
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, NoReturn

from vr.verify.confine import Confinement

PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STDIN, STDOUT, STDERR, RESULT, JOB = 0, 1, 2, 3, 4
READY = b"ready\n"
"""First on the result descriptor, before the program runs: without it the sandbox itself has failed."""
EXIT_RAISED, EXIT_SETUP = 81, 97
RECURSION_LIMIT = 10_000
MAX_RESULT_DEPTH = 150
PRESET = """
import bisect, collections, copy, fractions, functools, heapq, itertools, math, operator, random, re, string, sys, time
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from typing import *
"""


def preset_globals() -> dict[str, Any]:
    """The imports that published solutions take for granted."""
    namespace: dict[str, Any] = {}
    exec(PRESET, namespace)
    del namespace["__builtins__"]
    return namespace


def run_and_exit(
    descriptors: list[int], limits: dict[str, Any], confinement: Confinement, preset: dict[str, Any]
) -> NoReturn:
    """Never returns and never raises: the exit status tells how it went."""
    status = EXIT_SETUP
    try:
        place_descriptors(descriptors, confinement.ruleset)
        os.setsid()
        confinement.enter(limits["memory_bytes"], limits["cpu_seconds"])
        job = read_job()
        fresh_standard_streams()
        module = main_module(preset)
        reseed()
        os.write(RESULT, READY)
        status = run_program(job, module)
    finally:
        os._exit(status)


def place_descriptors(descriptors: list[int], ruleset: int) -> None:
    """Standard streams, result and job on fixed numbers; everything else closed but the rule set."""
    job, stdin, stdout, result = descriptors
    high = 100
    for offset, descriptor in enumerate((job, stdin, stdout, result, os.open("/dev/null", os.O_RDWR))):
        os.dup2(descriptor, high + offset, inheritable=False)
    for number, source in ((STDIN, 1), (STDOUT, 2), (STDERR, 4), (RESULT, 3), (JOB, 0)):
        os.dup2(high + source, number)
    os.closerange(JOB + 1, max(ruleset, JOB + 1))
    os.closerange(max(ruleset, JOB) + 1, 1 << 16)


def read_job() -> dict[str, Any]:
    """The job of this run: code and, for call tests, the name and the arguments."""
    size = os.fstat(JOB).st_size
    chunks, at = [], 0
    while at < size:
        chunk = os.pread(JOB, size - at, at)
        chunks.append(chunk)
        at += len(chunk)
    os.close(JOB)
    job: dict[str, Any] = json.loads(b"".join(chunks))
    if job["name"] is not None:
        arguments = []
        while chunk := os.read(STDIN, 1 << 20):
            arguments.append(chunk)
        job["arguments"] = [untagged(argument) for argument in json.loads(b"".join(arguments))]
    return job


def untagged(value: Any) -> Any:
    """Arguments as sent by the grader: dictionaries come as tagged pairs."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if isinstance(value, dict):
        return {key: untagged(item) for key, item in value["dict"]}
    return value


def fresh_standard_streams() -> None:
    """New stream objects: those of the server know nothing of the descriptors of this child."""
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedReader(io.FileIO(STDIN, closefd=False)), encoding="utf-8", errors="surrogateescape"
    )
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedWriter(io.FileIO(STDOUT, "w", closefd=False), 1 << 16), encoding="utf-8", errors="surrogateescape"
    )
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedWriter(io.FileIO(STDERR, "w", closefd=False)), encoding="utf-8", errors="backslashreplace"
    )


def main_module(preset: dict[str, Any]) -> types.ModuleType:
    """A fresh ``__main__`` with the preset imports; the checker's own modules are no longer importable."""
    module = types.ModuleType("__main__")
    module.__dict__.update(preset, __file__="main.py", __builtins__=builtins)
    for name in [name for name in sys.modules if name == "vr" or name.startswith("vr.")]:
        del sys.modules[name]
    sys.modules["__main__"] = module
    # site's own versions close stdin first
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)
    sys.setrecursionlimit(RECURSION_LIMIT)
    return module


def reseed() -> None:
    """Every child would otherwise draw the same numbers as the server."""
    sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def run_program(job: dict[str, Any], module: types.ModuleType) -> int:
    """Run the program and, for call tests, its function; return the exit status."""
    status = 0
    try:
        is_call = job["name"] is not None
        if is_call:
            module.__dict__["__name__"] = "solution"
        with contextlib.suppress(SystemExit):
            exec(compile(job["code"], "main.py", "exec", dont_inherit=True), module.__dict__)
        if is_call:
            function = find_function(module, job["name"])
            sys.stdin = io.StringIO()
            send_result({"value": plain(function(*job["arguments"]))})
    except SystemExit:
        pass
    except BaseException as error:
        status = EXIT_RAISED
        send_result({"error": type(error).__name__})
    for step in (wait_for_threads, atexit._run_exitfuncs, flush):
        try:
            step()
        except BaseException as error:
            if status == 0 and not isinstance(error, SystemExit):
                status = EXIT_RAISED
                send_result({"error": type(error).__name__})
    return status


def wait_for_threads() -> None:
    """As the interpreter does at its end."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def flush() -> None:
    """What a program printed must leave, also where it put a stream of its own in place."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()


def find_function(module: types.ModuleType, name: str) -> Callable[..., Any]:
    """The method of a new ``Solution`` or the function of that name. Raises NameError."""
    solution = module.__dict__.get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        function: Callable[..., Any] = getattr(solution(), name)
        return function
    found: Callable[..., Any] | None = module.__dict__.get(name)
    if callable(found):
        return found
    raise NameError(f"name {name!r} is not defined")


def send_result(message: dict[str, Any]) -> None:
    """Write JSON to the result descriptor; a program that closed it has no result."""
    try:
        body = memoryview(json.dumps(message).encode("ascii"))
        while body:
            body = body[os.write(RESULT, body) :]
    except OSError:
        pass


def plain(value: Any, depth: int = 0) -> Any:
    """A returned value as JSON of exact types; subclasses are read through their base types.

    Dictionaries and sets are tagged; what is no such value becomes a tag that equals nothing.
    """
    if depth > MAX_RESULT_DEPTH:
        raise ValueError("result nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        base: Any = list if isinstance(value, list) else tuple
        return [plain(item, depth + 1) for item in base.__iter__(value)]
    if isinstance(value, types.GeneratorType) or kind in (map, filter, zip, range, type({}.keys()), type({}.values())):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        pairs = [[plain(key, depth + 1), plain(item, depth + 1)] for key, item in dict.items(value)]
        return {"dict": pairs}
    if isinstance(value, (set, frozenset)):
        base = set if isinstance(value, set) else frozenset
        return {"set": [plain(item, depth + 1) for item in base.__iter__(value)]}
    for base in (int, float, str):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base.__add__(value, base(0))
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    return {"other": kind.__name__}
