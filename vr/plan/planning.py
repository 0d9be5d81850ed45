"""A plan out of the files that say what is computed and how: its stages, and how fast this or another machine is."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vr.plan import fits, hardware, page, probe, shapes, texts, work
from vr.plan.hardware import Hardware, Precision, Speed
from vr.plan.hours import Clock, Speeds
from vr.plan.work import Run, Stage
from vr.settings.consistency import Document, errors
from vr.settings.params import Base, Problems, Shared
from vr.settings.yaml_files import machine_of, params_of


@dataclass(frozen=True)
class Plan:
    """What runs, and what its time and memory follow from."""

    stages: list[Stage]
    run: Run
    clock: Clock
    free: float | None
    """bytes on this machine's disk; None: the plan is for another machine"""

    def page(self) -> str:
        """The plan as text."""
        misfits = fits.lines(self.stages, self.clock, self.run.document, self.free)
        return page.text(self.stages, self.run, self.clock, misfits)


def make(
    params: Path,
    machine: Path,
    data: Path,
    models: Path,
    gpu: str | None = None,
    gpus: int | None = None,
    measure: bool | None = None,
) -> Plan:
    """The plan of a params.yaml on a machine.

    Args:
        machine: a machine.yaml, which need not be there.
        data, models: where the pipeline puts tables and models; what an earlier run has made is measured.
        gpu, gpus: plan for this many GPUs of this kind; None: for this machine.
        measure: measure the speed; None: where that is possible.

    Raises:
        ValueError: an entry is wrong, or something cannot be planned; one line each.
        OSError: a file cannot be read.
        RuntimeError: a measurement failed.
    """
    document, how = params_of(params), machine_of(machine)
    if found := errors(document):
        raise ValueError("\n".join(found))
    here, base = _hardware(gpu, gpus), models / "base"
    shape = shapes.of_base(Base.read(document), base)
    made = shapes.is_made(base, shape)
    if measure and not (made and gpu is None):
        raise ValueError(f"--probe: {base} is not the base model of {params}, or the plan is for another machine")
    settled = hardware.settled(how, here)
    earlier = data if made and texts.belongs(Problems.read(document), data / "problems.parquet") else None
    run = Run(document, _texts(document, earlier, base), shape, settled, here, earlier)
    stages = work.stages(run)
    measured = made and gpu is None and measure is not False
    clock = Clock(shape, settled, here, _speeds(base if measured else None, run, stages))
    return Plan(stages, run, clock, None if gpu else float(shutil.disk_usage(Path.cwd()).free))


def _hardware(gpu: str | None, gpus: int | None) -> Hardware:
    if gpu is None and gpus is None:
        return hardware.here()
    if gpu is None or gpus is None or gpus < 1:
        raise ValueError("--gpu and --gpus go together, as in --gpu h100 --gpus 8")
    return hardware.of_gpus(gpu, gpus)


def _texts(document: Document, earlier: Path | None, base: Path) -> texts.Texts:
    """Measured where an earlier run's tables are there, and those of traces and answers where they are."""
    shared = Shared.read(document)
    if earlier is None:
        return texts.assumed(Problems.read(document), shared)
    seed = f"{shared.proposal}/seed={shared.seeds[0]}.parquet"
    found = texts.measured(earlier / "problems.parquet", base, shared)
    return texts.with_tables(found, earlier / "traces" / seed, earlier / "answers" / seed)


def _speeds(base: Path | None, run: Run, planned: list[Stage]) -> Speeds:
    @cache
    def speeds(precision: Precision) -> Speed:
        threads = Clock(run.shape, run.machine, run.hardware, speeds).threads()
        assumed = hardware.speed(run.hardware, precision, threads)
        return assumed if base is None else probe.speed(base, assumed, precision, run, planned)

    return speeds
