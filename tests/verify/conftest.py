"""What the tests of `vr.verify` share: pools that stay open for the whole session, and the level of isolation."""

from collections import deque
from collections.abc import Callable, Iterator

import pytest

from vr.verify import Task, Verdict, verify
from vr.verify.sandbox.isolation import IsolationUnavailableError, choose_level

Judge = Callable[..., list[Verdict]]


def open_pool(*kinds: str) -> Iterator[Judge]:
    """A function that judges tasks on one worker, which stays until the generator is closed.

    The pool takes a task only when its worker is free, so a task that was put into the queue is judged by the next
    step of the stream.
    """
    queue: deque[Task] = deque()

    def tasks() -> Iterator[Task]:
        while True:
            yield queue.popleft()

    stream = verify(tasks(), kinds=kinds, workers=1)

    def judge(*asked: Task) -> list[Verdict]:
        verdicts = []
        for task in asked:
            queue.append(task)
            verdicts.append(next(stream))
        return verdicts

    yield judge
    stream.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """Judges tasks in mathematics and choices, in the pool that all tests share: to start one takes two seconds."""
    yield from open_pool("math", "choice")


@pytest.fixture(scope="session")
def judge_programs(isolation_level: str) -> Iterator[Judge]:
    """Judges programs, in the sandbox that all tests share."""
    assert isolation_level
    yield from open_pool("stdin", "call", "asserts")


@pytest.fixture(scope="session")
def isolation_level() -> str:
    """The level at which programs run on this machine; skips the test where none holds."""
    try:
        return choose_level()
    except IsolationUnavailableError as refusal:
        pytest.skip(str(refusal))
