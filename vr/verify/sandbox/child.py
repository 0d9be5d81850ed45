"""The forked child inside the sandbox: puts descriptors in place, confines itself, reads the job, runs the program.

The program runs as `__main__` with the usual imports already in its globals. The value that a call test returns leaves
as JSON of exact types on a descriptor of its own. The child does not know which output is expected and decides nothing,
so a program that takes over its own process gains nothing; the grader compares.
Runs inside the sandbox: standard library only.
"""

import atexit
import builtins
import contextlib
import io
import json
import os
import socket
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, NoReturn

from vr.verify.sandbox.confine import Confinement, be_first_to_go, die_with_parent
from vr.verify.sandbox.values import from_json, to_json

PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
"""The folder that holds the package `vr`."""
READY = b"ready"
"""Sent to the server before the program runs; where it is missing, the sandbox itself has failed."""
EXIT_RAISED = 81
"""Exit status of a program that raised an exception."""

_EXIT_SETUP = 97
_STDIN, _STDOUT, _STDERR, _RESULT, _JOB, _SERVER = 0, 1, 2, 3, 4, 5
_RECURSION_LIMIT = 50_000
_MAX_NAME_CHARACTERS = 80


def run_and_exit(
    parent: int, descriptors: list[int], limits: dict[str, Any], confinement: Confinement, preset: dict[str, Any]
) -> NoReturn:
    """Run one program in this process. Never returns and never raises: the exit status says how the run went.

    Args:
        parent: the process number of the server.
        descriptors: job, stdin, stdout and result, as the grader sent them, and a socket to the server.
        limits: `cpu_seconds` and `memory_bytes` of the program.
        confinement: the prepared confinement, entered before the job is read.
        preset: the globals that the program starts with.
    """
    status = _EXIT_SETUP
    try:
        die_with_parent(parent)
        be_first_to_go()
        _place_descriptors(descriptors, confinement.ruleset)
        os.setsid()
        with socket.socket(fileno=_SERVER) as server:  # closed before the program runs, so it can take nothing back
            confinement.enter(limits["memory_bytes"], limits["cpu_seconds"], server)
            _renew_standard_streams()
            module = _main_module(preset)
            _reseed()
            server.send(READY)
        status = _run_program(module)
    finally:
        os._exit(status)


def _place_descriptors(descriptors: list[int], ruleset: int) -> None:
    """Put streams, result, job and server on fixed numbers, and close all others but the Landlock rule set."""
    job, stdin, stdout, result, server = descriptors
    stderr = os.open("/dev/null", os.O_RDWR)
    by_number = {_STDIN: stdin, _STDOUT: stdout, _STDERR: stderr, _RESULT: result, _JOB: job, _SERVER: server}
    high = 100
    for number, descriptor in by_number.items():
        os.dup2(descriptor, high + number, inheritable=False)
    for number in by_number:
        os.dup2(high + number, number)
    os.closerange(_SERVER + 1, max(ruleset, _SERVER + 1))
    os.closerange(max(ruleset, _SERVER) + 1, 1 << 16)


def _read_job() -> dict[str, Any]:
    """The job of this run: the code and, for call tests, the name of the function and its arguments as JSON."""
    size = os.fstat(_JOB).st_size
    chunks, at = [], 0
    while at < size:
        chunk = os.pread(_JOB, size - at, at)
        chunks.append(chunk)
        at += len(chunk)
    os.close(_JOB)
    job: dict[str, Any] = json.loads(b"".join(chunks))
    if job["name"] is not None:
        arguments = []
        while chunk := os.read(_STDIN, 1 << 20):
            arguments.append(chunk)
        job["arguments"] = b"".join(arguments)
    return job


def _renew_standard_streams() -> None:
    """Make new stream objects, because those of the server belong to other descriptors."""
    sys.stdin = sys.__stdin__ = _stream(_STDIN, "<stdin>", "r", "surrogateescape")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(_STDOUT, "<stdout>", "w", "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(_STDERR, "<stderr>", "w", "backslashreplace")  # type: ignore[misc]


def _stream(descriptor: int, name: str, mode: str, errors: str) -> io.TextIOWrapper:
    """A standard stream, with the attributes that solutions with a fast reader of their own look at."""
    raw = io.FileIO(descriptor, mode, closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw, 1 << 16)
    stream = io.TextIOWrapper(buffer, encoding="utf-8", errors=errors)
    stream.mode = mode  # type: ignore[misc]
    return stream


def _main_module(preset: dict[str, Any]) -> types.ModuleType:
    """A fresh `__main__` with the preset imports; the checker's own modules can no longer be imported."""
    module = types.ModuleType("__main__")
    module.__dict__.update(preset, __file__="main.py", __builtins__=builtins)
    for name in [name for name in sys.modules if name == "vr" or name.startswith("vr.")]:
        del sys.modules[name]
    sys.modules["__main__"] = module
    # The versions of `site` close stdin before they exit.
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    return module


def _reseed() -> None:
    """Give this child random numbers of its own; all children would otherwise draw those of the server."""
    sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _run_program(module: types.ModuleType) -> int:
    """Read the job, run the program and, for call tests, its function; return the exit status.

    A job that is too large to be read fails here, like any program: an answer can make it that large.
    """
    status = 0
    try:
        job = _read_job()
        is_call = job["name"] is not None
        if is_call:
            module.__dict__["__name__"] = "solution"
            preset = module.__dict__.pop(job["name"], None)  # the program itself must define its function
        with contextlib.suppress(SystemExit):
            exec(compile(job["code"], "main.py", "exec", dont_inherit=True), module.__dict__)
        if is_call:
            function = _find_function(module, job["name"])
            module.__dict__.setdefault(job["name"], preset)
            sys.stdin = io.StringIO()
            arguments, keywords = from_json(json.loads(job["arguments"]), module.__dict__)
            _send_result({"value": to_json(function(*arguments, **keywords))})
    except SystemExit:
        pass
    except BaseException as error:
        status = EXIT_RAISED
        _send_result(_described(error))
    for step in (_wait_for_threads, atexit._run_exitfuncs, _flush):
        try:
            step()
        except BaseException as error:
            if status == 0 and not isinstance(error, SystemExit):
                status = EXIT_RAISED
                _send_result(_described(error))
    return status


def _described(error: BaseException) -> dict[str, str]:
    """The class of an exception, and the name that is missing where that is the error."""
    described = {"error": type(error).__name__}
    if isinstance(error, (NameError, ImportError)) and isinstance(error.name, str):
        described["name"] = error.name[:_MAX_NAME_CHARACTERS]
    return described


def _wait_for_threads() -> None:
    """Wait for the threads that are no daemons, as the interpreter does at its end."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _flush() -> None:
    """Write out what the program printed, also where it replaced `sys.stdout` by a stream of its own."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()


def _find_function(module: types.ModuleType, name: str) -> Callable[..., Any]:
    """The method of a new `Solution`, or else the function of that name. Raises NameError."""
    solution = module.__dict__.get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        function: Callable[..., Any] = getattr(solution(), name)
        return function
    found: Callable[..., Any] | None = module.__dict__.get(name)
    if callable(found):
        return found
    raise NameError(f"name {name!r} is not defined", name=name)


def _send_result(message: dict[str, Any]) -> None:
    """Write JSON to the result descriptor; a program that has closed the descriptor has no result."""
    try:
        body = memoryview(json.dumps(message).encode("ascii"))
        while body:
            body = body[os.write(_RESULT, body) :]
    except OSError:
        pass
