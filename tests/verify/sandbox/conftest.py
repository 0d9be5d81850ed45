"""What the tests of the sandbox share: a sandbox that stays warm, and one way to run a program in it."""

import json
from collections.abc import Callable, Iterator

import pytest

from vr.verify.sandbox.sandbox import Run, Sandbox, SealedFile


@pytest.fixture(scope="session")
def run_program(isolation_level: str) -> Iterator[Callable[..., Run]]:
    """Runs a program once, at the level that holds on this machine. Any failure of the sandbox fails the test."""
    sandbox = Sandbox(isolation_level)

    def run(code: str, name: str | None = None, stdin: bytes = b"", cpu_seconds: float = 2.0) -> Run:
        job = json.dumps({"code": code, "name": name}).encode("ascii")
        with SealedFile(job) as job_file, SealedFile(stdin) as stdin_file:
            return sandbox.run(job_file, stdin_file, cpu_seconds)

    yield run
    sandbox.close()
