"""The embedded miniature: small problems with a teacher of mixed quality, made here in seconds.

Two sources: `chain_sum` takes expressions and answers from reasoning_gym's generator of that name (terms of one digit,
every intermediate result in 0..20) and puts them in fewer words, since each token costs time; `programs` are functions
of x in words, whose shortest form has to be worked out.
The teacher writes a thought and an answer, as distilled data does. The answer is always the right one. The thought is
clean, or has a slip (one wrong step, carried on to the end), or is a bare guess (no step at all). The table
does not say which: telling good thoughts from bad ones is the method's task.

Training and held-out questions are disjoint: each split has its own random stream and takes only questions whose text
hashes into its own buckets. So the first n questions of a split are the same for every size of it and of the others.

Not covered: anything that a real model finds hard. The miniature shows that the pipeline works and that weighing
traces pays where teachers are unreliable; it says nothing about real benchmarks.
"""

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import polars as pl

from vr.renderers import markers
from vr.settings.params import MiniatureBenchmark
from vr.settings.sources import Miniature
from vr.sources.loaded import COLUMNS, Loaded
from vr.tables import parquet, schemas

BENCHMARKS = {"miniature_dev": "dev", "miniature_test": "test"}
"""The benchmarks' names, and the split that each is."""
MIN_TERMS, MAX_TERMS = 4, 5
MIN_ACTIONS, MAX_ACTIONS = 3, 4
LARGEST = 20
TEST_INPUTS = (0, 1, 2, 5, 10, -3)
GUESSES = ("This one is easy.", "I can see the answer.", "No need to work it out.", "I know this one.")
_BUCKETS = {"dev": (0,), "test": (1,), "train": tuple(range(2, 10))}
_TRIES = 1000
"""Draws for each wanted problem, before the pool of different questions counts as used up."""


@dataclass(frozen=True)
class Task:
    """A problem without a thought."""

    source: str
    question: str
    steps: tuple[tuple[str, int], ...]
    """(operation, its operand): the first step loads the operand"""
    reference: str | None
    tests: str | None


def load(settings: Miniature) -> Loaded:
    """The training questions, each with the teacher's thought and the right answer.

    Raises:
        ValueError: more questions asked for than there are different ones.
    """
    rng = random.Random(f"{settings.seed} train teacher")
    tasks = _tasks("train", settings.train, settings.programs, settings.seed, "problems.miniature.train")
    rows = [_row(problem_id, task, _thought(task, settings.slips, settings.guesses, rng)) for problem_id, task in tasks]
    return Loaded(pl.DataFrame(rows, COLUMNS), schemas.LeftOut.create_empty())


def benchmark(name: str, settings: MiniatureBenchmark) -> dy.DataFrame[schemas.Benchmark]:
    """Held-out questions, each with a clean thought and the right answer.

    Args:
        name: one of BENCHMARKS.

    Raises:
        ValueError: more questions asked for than there are different ones.
    """
    entry = f"benchmark.{name}.questions"
    tasks = _tasks(BENCHMARKS[name], settings.questions, settings.programs, settings.seed, entry)
    rows = [_row(problem_id, task, _worked_out(task, _states(task.steps))) for problem_id, task in tasks]
    frame = pl.DataFrame(rows, parquet.types(schemas.Benchmark))
    return parquet.validate(frame, schemas.Benchmark, name)


def _row(problem_id: str, task: Task, thought: str) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "source": task.source,
        "question": task.question,
        "system": None,
        "reference": task.reference,
        "verifier": "math" if task.reference is not None else "call",
        "tests": task.tests,
        "solution": markers.join_response(thought, _answer(task)),
    }


# Tasks


def _tasks(split: str, size: int, programs: float, seed: int, entry: str) -> Iterator[tuple[str, Task]]:
    """The first `size` tasks of a split with their problem_ids. `entry` is the entry of params.yaml that asks."""
    sources = {
        "chain_sum": _different(_sums(random.Random(f"{seed} {split} sums")), split),
        "programs": _different(_programs(random.Random(f"{seed} {split} programs")), split),
    }
    for index in range(size):
        n_programs = _count(index, programs)
        source = "programs" if _count(index + 1, programs) > n_programs else "chain_sum"
        task = next(sources[source], None)
        if task is None:
            n_found = n_programs if source == "programs" else index - n_programs
            raise ValueError(f"params.yaml: {entry} = {size}: {source} has only {n_found} questions")
        yield f"{source}-{split}-{index:05d}", task


def _count(rows: int, share: float) -> int:
    """Programming tasks among the first rows: spread evenly."""
    return int(rows * share + 1e-9)


def _different(tasks: Iterator[Task], split: str) -> Iterator[Task]:
    """The split's own tasks, none twice; ends when new ones have become too rare."""
    seen: set[str] = set()
    tries = 0
    for task in tasks:
        tries += 1
        if zlib.crc32(task.question.encode()) % 10 in _BUCKETS[split] and task.question not in seen:
            seen.add(task.question)
            tries = 0
            yield task
        elif tries > _TRIES:
            return


def _sums(rng: random.Random) -> Iterator[Task]:
    """Sums of reasoning_gym without a large or negative intermediate result; endless."""
    import reasoning_gym  # seconds to import, and only this function needs it

    while True:
        generator = reasoning_gym.create_dataset(
            "chain_sum", size=1000, seed=rng.getrandbits(31), min_terms=MIN_TERMS, max_terms=MAX_TERMS, max_digits=1
        )
        for entry in generator:
            words = entry["metadata"]["expression"].split()
            steps = (("+", int(words[0])), *((words[i], int(words[i + 1])) for i in range(1, len(words), 2)))
            if all(0 <= total <= LARGEST for _, total in _states(steps)):
                question = "Compute " + "".join(words) + "."
                yield Task("chain_sum", question, steps, reference=entry["answer"], tests=None)


def _programs(rng: random.Random) -> Iterator[Task]:
    """Functions of x in words, one factor at most; endless."""
    words = {"+": "add {}", "-": "subtract {}", "*": "multiply by {}"}
    while True:
        actions = [(rng.choice("+-"), rng.randint(1, 9)) for _ in range(rng.randint(MIN_ACTIONS, MAX_ACTIONS))]
        actions[rng.randrange(1, len(actions))] = ("*", rng.choice((2, 3)))
        steps = (("x", 0), *actions)
        if not all(0 <= constant <= LARGEST for _, constant in _states(steps)):
            continue
        question = "Write f(x): " + ", ".join(words[sign].format(n) for sign, n in actions) + "."
        factor, constant = _states(steps)[-1]
        outputs = [factor * x + constant for x in TEST_INPUTS]
        tests = {"fn_name": "f", "inputs": [[x] for x in TEST_INPUTS], "outputs": outputs}
        yield Task("programs", question, steps, reference=None, tests=json.dumps(tests))


# The teacher


def _states(steps: tuple[tuple[str, int], ...], slip_at: int | None = None, slip: int = 0) -> list[tuple[int, int]]:
    """(factor of x, constant) after each step, with `slip` added to the result of one of them."""
    factor, constant = 0, 0
    states = []
    for i, (operation, operand) in enumerate(steps):
        if operation == "x":
            factor = 1
        elif operation == "*":
            factor, constant = factor * operand, constant * operand
        else:
            constant += operand if operation == "+" else -operand
        constant += slip if i == slip_at else 0
        states.append((factor, constant))
    return states


def _thought(task: Task, slips: float, guesses: float, rng: random.Random) -> str:
    """z: clean, with a slip, or a guess. Each takes the same draws, so the shares do not shift the stream."""
    quality, guess = rng.random(), rng.choice(GUESSES)
    slip_at, slip = rng.randrange(1, len(task.steps)), rng.choice((-1, 1))
    if quality < guesses:
        return guess
    states = _states(task.steps)
    if quality < guesses + slips:
        # A negative result would give the slip away, because no other thought has one.
        below = min(constant for _, constant in _states(task.steps, slip_at, slip)) < 0
        states = _states(task.steps, slip_at, abs(slip) if below else slip)
    return _worked_out(task, states)


def _worked_out(task: Task, states: list[tuple[int, int]]) -> str:
    """One line a step, from each state to the next."""
    lines = []
    for (operation, operand), before, after in zip(task.steps[1:], states[:-1], states[1:], strict=True):
        left = f"({_term(*before)})" if operation == "*" else _term(*before)
        lines.append(f"{left}{operation}{operand}={_term(*after)}")
    return "\n".join(lines)


def _term(factor: int, constant: int) -> str:
    """`2x+7` in a thought; the number alone where there is no x."""
    return {0: "", 1: "x+"}.get(factor, f"{factor}x+") + str(constant)


def _answer(task: Task) -> str:
    """y: the boxed number, or the program in its shortest form. Always right."""
    factor, constant = _states(task.steps)[-1]
    if task.source == "chain_sum":
        return f"\\boxed{{{task.reference}}}"
    return f"```python\ndef f(x):\n    return {factor} * x + {constant}\n```"
