"""What a stage would find wrong hours from now, found before the first: `python -m stages` asks for it.

A stage by itself checks the settings (`config_errors`) and its own inputs. Here are the things beside the settings that
params.yaml names: prompts, benchmarks, models, and the batch that a training has to reach on this machine.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from stages._renderer import system_prompt
from stages._settings import config_errors, document, machine
from vr.engines.training.layout import cores, lay_out
from vr.settings.consistency import MADE_HERE, Document
from vr.settings.machine import gpus
from vr.settings.params import (
    Base,
    Benchmark,
    BuildFinal,
    Evaluate,
    Published,
    Shared,
    TrainFinal,
    TrainInitial,
    TrainPosterior,
)
from vr.sources import benchmarks

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


def _models(entries: Document) -> Iterator[str]:
    evaluate = Evaluate.read(entries)
    for entry, names in (("models", evaluate.models), ("untrained", evaluate.untrained)):
        for name in names:
            folder = Path("models", name)
            known = (*MADE_HERE, *entries[Published.section])
            if name not in known and not folder.is_dir() and not folder.with_name(f"{name}.dvc").exists():
                yield f"params.yaml: evaluate.{entry}: {name!r}: there is no folder {folder}"


def _source_of_base(entries: Document) -> Iterator[str]:
    source = Base.read(entries).source
    if source.startswith(("/", "./", "../", "~")) and not Path(source).is_dir():
        yield f"params.yaml: base.source = {source!r}: no such directory"


def _batches(entries: Document) -> Iterator[str]:
    final, weighed = BuildFinal.read(entries), Shared.read(entries).K
    rows_of_final = (weighed if final.selection == "weighted" else 1) + final.mix
    for training, rows in ((TrainInitial, 1), (TrainPosterior, 1), (TrainFinal, rows_of_final)):
        batch = training.read(entries).batch_size * rows
        for line in _error_of(lay_out, batch, machine(), gpus(), cores()):
            yield f"{training.section}: {line}"


def _error_of(check: Callable[..., object], *arguments: object) -> Iterator[str]:
    try:
        check(*arguments)
    except (ValueError, OSError) as error:
        yield str(error)


_CHECKS: tuple[Callable[[Document], Iterator[str]], ...] = (_prompts, _benchmarks, _models, _source_of_base, _batches)
