"""How a benchmark becomes a table: the rows of its set, counted, drawn, and filled in as its entry says."""

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dataframely as dy
import polars as pl

from vr.settings.params import Benchmark, GymBenchmark, HubBenchmark, MiniatureBenchmark
from vr.sources import gym, hub, miniature
from vr.sources.benchmarks.catalogue import CATALOGUE
from vr.sources.benchmarks.entry import Entry, Row
from vr.tables import parquet, schemas

logger = logging.getLogger(__name__)

_GYM = "gym_"


def load(name: str, settings: Benchmark, folder: str | None) -> dy.DataFrame[schemas.Benchmark]:
    """The questions of one benchmark.

    Args:
        name: as in the section `benchmark` of params.yaml.
        settings: that entry.
        folder: where published sets lie in the hub's layout, `<folder>/<owner>/<name>/...`; None: on the hub.

    Raises:
        ValueError: no such benchmark; another number of questions than was published, or fewer than asked for; a row
            that cannot be read.
        FileNotFoundError: its set cannot be had.
    """
    require_source(name)
    if name in miniature.BENCHMARKS:
        return miniature.benchmark(name, cast(MiniatureBenchmark, settings))
    if name.startswith(_GYM):
        return gym.benchmark(name, cast(GymBenchmark, settings))
    return _published(name, CATALOGUE[name], cast(HubBenchmark, settings), folder)


def require_source(name: str) -> None:
    """Check that there is a benchmark of this name.

    Raises:
        ValueError: there is none.
    """
    if name in CATALOGUE or name in miniature.BENCHMARKS or name.startswith(_GYM):
        return
    there_are = ", ".join([*CATALOGUE, *miniature.BENCHMARKS, f"{_GYM}LABEL for a generator of reasoning_gym"])
    raise ValueError(f"params.yaml: benchmark.{name}: no such benchmark (there are: {there_are})")


def _published(name: str, entry: Entry, settings: HubBenchmark, folder: str | None) -> dy.DataFrame[schemas.Benchmark]:
    found = list(_kept(name, entry, folder))
    if settings.size == "published" and len(found) != entry.size:
        raise ValueError(
            f"benchmark.{name}: {len(found)} questions in {entry.hub}, {entry.size} were published "
            "(size: any takes them as they are)"
        )
    drawn = [_question(*named, name, entry, settings) for named in _drawn(found, name, settings)]
    logger.info("%s: %d of the %d questions of %s; licence: %s", name, len(drawn), len(found), entry.hub, entry.licence)
    wanted = parquet.types(schemas.Benchmark)
    return parquet.validate(pl.DataFrame(drawn, schema=wanted), schemas.Benchmark, name)


def place(name: str, entry: Entry, folder: str | None) -> str:
    """Where the set lies: its id on the hub, or its folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if folder is None:
        return entry.hub
    path = Path(folder, entry.hub)
    if not path.is_dir():
        raise FileNotFoundError(f"params.yaml: benchmark_folder: benchmark.{name} needs the folder {path}")
    return str(path)


def _kept(name: str, entry: Entry, folder: str | None) -> Iterator[tuple[str, Row]]:
    """The rows that belong to the benchmark, each with its problem_id.

    Raises:
        FileNotFoundError: the set cannot be had.
    """
    column, text = entry.keep or ("", "")
    where = place(name, entry, folder)
    try:
        rows = _rows(entry, where)
    except FileNotFoundError as error:
        # the hub's reader knows no params.yaml
        hint = "" if folder else "; benchmark_folder may name a folder with the set in it"
        raise FileNotFoundError(f"benchmark.{name}: {error}{hint}") from error
    for number, row in enumerate(rows):
        if not column or text in (row[column] or ""):
            yield f"{name}/{row[entry.id] if entry.id else number}", row


def _rows(entry: Entry, where: str) -> Iterator[Row]:
    if not entry.files:
        found = hub.rows(where, revision=entry.revision, config=entry.config, split=entry.split, columns=entry.read)
        return found.iter_rows(named=True)
    paths = hub.files(where, entry.revision, entry.files)
    return (row for path in paths for row in _lines(path, entry.read))


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file of JSON lines, one at a time, because all of LiveCodeBench's are 2 GB.

    Raises:
        ValueError: a line is no JSON object, or lacks a column.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                yield {column: row[column] for column in columns}
            except (ValueError, TypeError, KeyError) as error:
                reason = f"column {error} is missing" if isinstance(error, KeyError) else f"no JSON object: {error}"
                raise ValueError(f"{path}: line {number}: {reason}") from error


def _drawn(found: list[tuple[str, Row]], name: str, settings: HubBenchmark) -> list[tuple[str, Row]]:
    """All rows, or as many as are asked for, in the set's order."""
    if settings.questions == "all":
        return found
    if settings.questions > len(found):
        raise ValueError(f"params.yaml: benchmark.{name}.questions = {settings.questions}: it has only {len(found)}")
    indices = random.Random(f"{settings.seed} {name}").sample(range(len(found)), settings.questions)
    return [found[index] for index in sorted(indices)]


def _question(problem_id: str, row: Row, name: str, entry: Entry, settings: HubBenchmark) -> dict[str, Any]:
    """A row of schemas.Benchmark; its source says whether the official rule holds, where there is another.

    Raises:
        ValueError: the row has no value in a column, or one that cannot be used.
    """
    if missing := [column for column in entry.read if row[column] is None and column not in entry.may_be_null]:
        raise ValueError(f"{problem_id}: no value in the column {missing[0]!r}")
    rule = f" (official rule: {entry.official})" if settings.official and entry.official else ""
    fixed = {"problem_id": problem_id, "source": name + rule, "system": None, "verifier": entry.verifier}
    return fixed | entry.filled(row, entry, settings, problem_id)
