"""Questions from the generators of reasoning_gym, made here from a seed: no hub, no download.

Training takes generators that tell how an answer comes about (`TEACHERS`): that is z*, the answer in a box is y*. A
benchmark takes any generator. The two never share a question, whatever their seeds and configurations are: each split
takes only questions whose text hashes into its own buckets, and none twice. Seeds alone would not do: a generator's
n-th entry under seed s is often its first under seed s + n.

Where answers are plain numbers (`NUMBERS`) the verifier is math, otherwise the generator's own scorer in the sandbox
(vr/verify/gym). For gsm_symbolic math is the cheaper one, a process less for each answer, and the sounder one: the
scorer takes the first number of the text, without its sign, and reads 1,754 as 1.

Not covered: questions that differ in names and numbers only. Those of gsm_symbolic come from 85 patterns, which
training and benchmark share. Nor are the questions of a few generators without worked solutions the same in every
process (word_ladder, ransom_note, isomorphic_strings, polynomial_multiplication, codeio of reasoning_gym 0.1.25).
"""

import json
import random
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import dataframely as dy
import polars as pl

from vr.renderers import markers
from vr.settings import params
from vr.settings.sources import Gym
from vr.sources.loaded import COLUMNS, Loaded
from vr.sources.wordings import IN_A_BOX
from vr.tables import parquet, schemas

Entry = dict[str, Any]
"""What a generator makes: question, answer, metadata."""

NUMBERS = ("gsm_symbolic",)
"""Generators whose every answer is a plain number."""
_BUCKETS = {"test": (0, 1), "train": tuple(range(2, 10))}
_CHUNK = 1000
"""Entries made under one seed."""
_TRIES = 2000
"""Draws for each new question, before a generator's questions count as used up."""


def load(settings: Gym) -> Loaded:
    """Training questions of all generators in turn, each with its worked solution.

    Raises:
        ValueError: no such generator, or one without worked solutions; a configuration that it does not take; more
            questions asked for than it has.
    """
    if without := [name for name in settings.datasets if name not in TEACHERS]:
        raise ValueError(
            f"params.yaml: problems.gym.datasets: {without[0]} has no worked solutions; {', '.join(TEACHERS)} have"
        )
    names = list(settings.datasets)
    rows: list[dict[str, Any]] = []
    for turn, name in enumerate(names):
        size = len(range(turn, settings.rows, len(names)))
        rows += _rows(name, settings.datasets[name], "train", size, settings.seed, f"problems.gym.datasets.{name}")
    return Loaded(pl.DataFrame(rows, schema=COLUMNS), schemas.LeftOut.create_empty())


def benchmark(name: str, settings: params.GymBenchmark) -> dy.DataFrame[schemas.Benchmark]:
    """Held-out questions of one generator, with the worked solution where there is one.

    Args:
        name: the benchmark's, `gym_<generator>`.

    Raises:
        ValueError: as `load`, but any generator will do.
    """
    generator = name.removeprefix("gym_")
    rows = _rows(generator, settings.config, "test", settings.questions, settings.seed, f"benchmark.{name}")
    wanted = schemas.Benchmark.column_names()
    return parquet.validate(pl.DataFrame(rows, schema=COLUMNS).select(wanted), schemas.Benchmark, name)


def _rows(generator: str, config: dict[str, Any], split: str, size: int, seed: int, place: str) -> list[dict[str, Any]]:
    """Rows with COLUMNS. `place` is the entry of params.yaml that asks for them."""
    entries = list(islice(_different(_entries(generator, config, split, seed, place), split), size))
    if len(entries) < size:
        raise ValueError(f"params.yaml: {place}: {size} questions asked for: the generator has only {len(entries)}")
    try:
        return [_row(f"gym_{generator}/{split}/{n}", generator, entry) for n, entry in enumerate(entries)]
    except TypeError as error:
        raise ValueError(f"params.yaml: {place}: its entries cannot be kept as JSON: {error}") from error


def _row(problem_id: str, generator: str, entry: Entry) -> dict[str, Any]:
    is_number, teacher = generator in NUMBERS, TEACHERS.get(generator)
    answer = f"\\boxed{{{entry['answer']}}}"
    return {
        "problem_id": problem_id,
        "source": f"gym_{generator}",
        "question": IN_A_BOX + entry["question"].strip(),
        "reference": entry["answer"] if is_number else None,
        "verifier": "math" if is_number else "reasoning_gym",
        "tests": None if is_number else json.dumps({"dataset": generator, "entry": entry}),
        "solution": markers.join_response(teacher(entry), answer) if teacher else None,
    }


# Draws


def _entries(generator: str, config: dict[str, Any], split: str, seed: int, place: str) -> Iterator[Entry]:
    """Entries of a generator; endless."""
    import reasoning_gym  # seconds to import, and only this function needs it
    from reasoning_gym.factory import DATASETS

    if generator not in DATASETS:
        raise ValueError(f"params.yaml: {place}: reasoning_gym has no generator {generator!r}")
    if own := {"seed", "size"} & set(config):
        raise ValueError(f"params.yaml: {place}: {min(own)} is no entry of the configuration: it is chosen here")
    rng = random.Random(f"{seed} {split} {generator}")
    try:
        while True:
            yield from reasoning_gym.create_dataset(generator, size=_CHUNK, seed=rng.getrandbits(31), **config)
    except Exception as error:  # whatever a generator makes of numbers that do not suit it
        reason = str(error) or "a value is out of its range"
        raise ValueError(f"params.yaml: {place}: {generator} with {config}: {reason}") from error


def _different(entries: Iterator[Entry], split: str) -> Iterator[Entry]:
    """The split's own entries, none twice; ends when new ones have become too rare.

    The few whose answer is empty text are passed over: no response can name it in a box.
    """
    seen: set[str] = set()
    tries = 0
    for entry in entries:
        tries += 1
        question = entry["question"].strip()
        is_own = zlib.crc32(question.encode()) % 10 in _BUCKETS[split] and entry["answer"] != ""
        if is_own and question not in seen:
            seen.add(question)
            tries = 0
            yield entry
        elif tries > _TRIES:
            return


# Worked solutions


def _explanation(entry: Entry) -> str:
    """Sentences with the arithmetic in them; the last line, `#### 18`, is the answer alone."""
    return str(entry["metadata"]["answer_cot"]).rpartition("####")[0].strip()


def _states(entry: Entry) -> str:
    """What each rule makes of the state before, one a line; the last line is the answer."""
    states = entry["metadata"]["states"]
    return "\n".join(state if isinstance(state, str) else " ".join(map(str, state)) for state in states)


TEACHERS: dict[str, Callable[[Entry], str]] = {
    "gsm_symbolic": _explanation,
    "string_manipulation": _states,
    "string_splitting": _states,
    "string_synthesis": _states,
}
"""Generators whose entries tell how the answer comes about, and how that is made a thought."""
