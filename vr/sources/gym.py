"""Questions from the generators of reasoning_gym, made here from a seed: no hub, no download.

Training takes generators that tell how an answer comes about (`TEACHERS`): that is z*, the answer in a box is y*. A
benchmark takes any generator, and one of three splits: dev, test or known. Two splits never share a question, whatever
their seeds and configurations are. Seeds alone would not do: a generator's n-th entry under seed s is often its first
under seed s + n. Two rules keep them apart, the same in every run:

- Templates. A generator that fills names and numbers into templates (`TEMPLATED`) has some for training, others for dev
  and others for test: the last digit of a template's number decides (`_DIGITS`). Of the 85 of gsm_symbolic training has
  59, dev 9 and test 17. Templates of two of them have no six words in a row in common, but for those that end every
  question. The split known has training's templates again, to show what it helps to have met them.
- Buckets. Each split takes only questions that hash into its own buckets (`_BUCKETS`), and none twice. The text is
  hashed; of a templated question only its numbers are, so that no two splits have the same ones under other names.

Where answers are plain numbers (`NUMBERS`) the verifier is math, otherwise the generator's own scorer in the sandbox
(vr/verify/gym). For gsm_symbolic math is the cheaper one, a process less for each answer, and the sounder one: the
scorer takes the first number of the text, without its sign, and reads 1,754 as 1.

Not covered: most templates of gsm_symbolic (68 at least) were made from questions of GSM8K's test set, so that a model
trained on them has met that benchmark.
Questions of other generators may differ in names and numbers only. A few generators without worked solutions do not
make the same questions in every process (word_ladder, ransom_note, isomorphic_strings, polynomial_multiplication,
codeio of reasoning_gym 0.1.25).
"""

import json
import random
import re
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
TEMPLATED = ("gsm_symbolic",)
"""Generators with templates: their data sets give the number of each entry's one (`task_indices`)."""
_FOR_TRAINING = (2, 3, 4, 6, 7, 8, 9)
_DIGITS = {"test": (0, 5), "dev": (1,), "known": _FOR_TRAINING, "train": _FOR_TRAINING}
"""The templates of each split, by the last digits of their numbers."""
_BUCKETS = {"test": (0, 1), "dev": (2,), "known": (3,), "train": (4, 5, 6, 7, 8, 9)}
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
        name: the benchmark's, `gym_<label>`.

    Raises:
        ValueError: as `load`, but any generator will do; and as `require_split`.
    """
    require_split(name, settings)
    place = f"benchmark.{name}"
    rows = _rows(settings.generator, settings.config, settings.split, settings.questions, settings.seed, place)
    wanted = schemas.Benchmark.column_names()
    return parquet.validate(pl.DataFrame(rows, schema=COLUMNS).select(wanted), schemas.Benchmark, name)


def require_split(name: str, settings: params.GymBenchmark) -> None:
    """Check that a benchmark's generator is there and has its split.

    Raises:
        ValueError: there is no such generator; or it has no templates, so that none is known from training.
    """
    import reasoning_gym  # noqa: F401  # seconds to import; it fills the list below
    from reasoning_gym.factory import DATASETS

    place, generator = f"params.yaml: benchmark.{name}", settings.generator
    if generator not in DATASETS:
        raise ValueError(f"{place}.generator = {generator!r}: reasoning_gym has no such generator")
    if settings.split == "known" and generator not in TEMPLATED:
        raise ValueError(f"{place}.split = 'known': {generator} has no templates; {', '.join(TEMPLATED)} has")


def _rows(generator: str, config: dict[str, Any], split: str, size: int, seed: int, place: str) -> list[dict[str, Any]]:
    """Rows with COLUMNS. `place` is the entry of params.yaml that asks for them."""
    entries = list(islice(_different(_entries(generator, config, split, seed, place), generator, split), size))
    if len(entries) < size:
        has = f"{generator} has only {len(entries)} for {split}"
        raise ValueError(f"params.yaml: {place}: {size} questions asked for: {has}")
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
    """Entries of a generator, of the split's own templates if it has any; endless."""
    import reasoning_gym  # seconds to import

    if own := {"seed", "size"} & set(config):
        raise ValueError(f"params.yaml: {place}: {min(own)} is no entry of the configuration: it is chosen here")
    rng = random.Random(f"{seed} {split} {generator}")
    try:
        while True:
            dataset = reasoning_gym.create_dataset(generator, size=_CHUNK, seed=rng.getrandbits(31), **config)
            yield from _of_own_templates(dataset, split) if generator in TEMPLATED else dataset
    except Exception as error:  # whatever a generator makes of numbers that do not suit it
        reason = str(error) or "a value is out of its range"
        raise ValueError(f"params.yaml: {place}: {generator} with {config}: {reason}") from error


def _of_own_templates(dataset: Any, split: str) -> Iterator[Entry]:
    return (dataset[n] for n, template in enumerate(dataset.task_indices) if template % 10 in _DIGITS[split])


def _different(entries: Iterator[Entry], generator: str, split: str) -> Iterator[Entry]:
    """The split's own entries, none twice; ends when new ones have become too rare.

    The few whose answer is empty text are passed over: no response can name it in a box.
    """
    seen: set[str] = set()
    tries = 0
    for entry in entries:
        tries += 1
        question = entry["question"].strip()
        is_own = _bucket(question, generator) in _BUCKETS[split] and entry["answer"] != ""
        if is_own and question not in seen:
            seen.add(question)
            tries = 0
            yield entry
        elif tries > _TRIES:
            return


def _bucket(question: str, generator: str) -> int:
    told_apart_by = " ".join(re.findall(r"\d+", question)) if generator in TEMPLATED else question
    return zlib.crc32(told_apart_by.encode()) % 10


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
