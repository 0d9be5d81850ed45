"""What a stage would find wrong hours from now, found before the first: `python -m stages` asks for it.

A stage by itself checks the settings (`config_errors`) and its own inputs. Here are the things beside the settings that
params.yaml names: prompts, benchmarks, folders, models, and the batch that a training has to reach on this machine.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from stages._renderer import system_prompt
from stages._settings import config_errors, document, machine
from vr.engines.training.layout import lay_out
from vr.settings.consistency import MADE_HERE, Document
from vr.settings.machine import cores, gpus
from vr.settings.params import (
    Base,
    Benchmark,
    BenchmarkFolder,
    BuildBaseline,
    Evaluate,
    GymBenchmark,
    Problems,
    Published,
    SampleTraces,
    Shared,
)
from vr.settings.training import TRAININGS
from vr.sources import benchmarks, gguf, gym

LONGEST_ON_CPU = 8192
"""Tokens of a trace; every recipe for GPUs asks for more, every one for CPUs for less."""
PROMPTS = ("reasoner", "posterior_A", "posterior_B", "untrained")


def errors() -> list[str]:
    """Everything that is wrong, one line each."""
    if found := config_errors():
        return found
    entries = document()
    return [line for check in _CHECKS for line in check(entries)]


def _prompts(entries: Document) -> Iterator[str]:
    folder = Path(Shared.read(entries).prompts)
    if not folder.is_dir():
        yield f"params.yaml: prompts = {str(folder)!r}: no such folder"
        return
    for name in PROMPTS:
        yield from _error_of(system_prompt, folder / f"{name}.txt")


def _benchmarks(entries: Document) -> Iterator[str]:
    for name in entries[Benchmark.section]:
        yield from _error_of(benchmarks.require_source, name)
        if isinstance(settings := Benchmark.read(entries, name), GymBenchmark):
            yield from _error_of(gym.require_split, name, settings)
    folder = BenchmarkFolder.read(entries).benchmark_folder
    for name in Evaluate.read(entries).benchmarks:
        if folder and Path(folder).is_dir() and name in benchmarks.CATALOGUE:
            yield from _error_of(benchmarks.place, name, benchmarks.CATALOGUE[name], folder)


def _models(entries: Document) -> Iterator[str]:
    evaluate = Evaluate.read(entries)
    for entry, names in (("models", evaluate.models), ("untrained", evaluate.untrained)):
        for name in names:
            folder = Path("models", name)
            known = (*MADE_HERE, *entries[Published.section])
            if name not in known and not folder.is_dir() and not folder.with_name(f"{name}.dvc").exists():
                yield f"params.yaml: evaluate.{entry}: {name!r}: there is no folder {folder}"


def _folders(entries: Document) -> Iterator[str]:
    places = {"benchmark_folder": BenchmarkFolder.read(entries).benchmark_folder}
    places |= {
        f"{entry}.source": source
        for entry, source in _sources_of_models(entries)
        if source is not None and source.startswith(("/", "./", "../", "~"))
    }
    for entry, place in places.items():
        if place is not None and not Path(place).is_dir():
            yield f"params.yaml: {entry} = {place!r}: no such directory"


def _sources_of_models(entries: Document) -> Iterator[tuple[str, str | None]]:
    """Where models come from: the section of params.yaml, and its folder or hub id; null: nowhere, it is trained."""
    yield Base.section, Base.read(entries).source
    for (name,) in Published.names(entries):
        yield f"{Published.section}.{name}", Published.read(entries, name).source
    for training in TRAININGS:
        yield training.section, training.read(entries).source


def _package(entries: Document) -> Iterator[str]:
    source = Base.read(entries).source
    if source.startswith(gguf.PREFIX):
        yield from _error_of(gguf.file_of, source)


def _own_table(entries: Document) -> Iterator[str]:
    problems = Problems.read(entries)
    if "table" in problems.sources and problems.table and not Path(problems.table.path).is_file():
        yield f"params.yaml: problems.table.path = {problems.table.path!r}: no such file"


def _batches(entries: Document) -> Iterator[str]:
    of_final = BuildBaseline.read(entries).rows_per_question
    for training, rows in zip(TRAININGS, (1, 1, of_final, of_final), strict=True):
        if training.read(entries).source is not None:
            continue  # it is not trained here
        batch = training.read(entries).batch_size * rows
        for line in _error_of(lay_out, batch, machine(), gpus(), cores()):
            yield f"{training.section}: {line}"


def _long_texts(entries: Document) -> Iterator[str]:
    longest = SampleTraces.read(entries).max_tokens
    if longest > LONGEST_ON_CPU and not gpus():
        yield (
            f"params.yaml: sample_traces.max_tokens = {longest}: texts of more than {LONGEST_ON_CPU} tokens take weeks "
            "on a CPU: run this on a machine with a GPU (torch sees none here), or ask for shorter ones"
        )


def _error_of(check: Callable[..., object], *arguments: object) -> Iterator[str]:
    try:
        check(*arguments)
    except (ValueError, OSError) as error:
        yield str(error)


_CHECKS: tuple[Callable[[Document], Iterator[str]], ...] = (
    _prompts,
    _benchmarks,
    _models,
    _folders,
    _package,
    _own_table,
    _batches,
    _long_texts,
)
