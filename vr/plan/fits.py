"""What there is no room for, and the entry that would mend it: remedies are planned, and the first that fits is named.

One line for each stage. Not covered: two remedies at once, unless the first two below are needed together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vr.plan import disk, memory
from vr.plan.hours import Clock
from vr.plan.work import Drawing, Scoring, Stage, Training
from vr.settings.consistency import Document
from vr.settings.training import TRAININGS

GIB = 2.0**30
ROOM = 0.95
"""Share of a device's memory that can be used: allocators leave gaps."""
_SECTIONS = {training.section: training for training in TRAININGS}


def lines(planned: Sequence[Stage], clock: Clock, document: Document, free: float | None) -> list[str]:
    """What does not fit, one line each.

    Args:
        free: bytes on the disk; None: it is another machine's.
    """
    found = [line for stage in planned for line in _of_stage(stage, clock, document)]
    needed = disk.of_run(planned, clock.shape)
    if free is not None and needed.linked > free:
        found.append(
            f"disk: {needed.linked / GIB:.1f} GiB are needed, {free / GIB:.1f} are free: of them "
            f"{needed.checkpoints / GIB:.1f} for checkpoints, of which params.yaml: training.method: lora needs less"
        )
    return found


def room(clock: Clock, processes: int) -> float:
    """Bytes for one process of a stage: on a CPU other processes of it and of another stage are beside it."""
    return ROOM * clock.hardware.memory / (1 if clock.hardware.gpu else processes * clock.machine.at_once)


def _of_stage(stage: Stage, clock: Clock, document: Document) -> Iterator[str]:
    work = stage.work
    if isinstance(work, Training):
        yield from _training(stage.name, work, clock, document)
    elif isinstance(work, Drawing):
        yield from _drawing(stage.name, work, clock)
    elif isinstance(work, Scoring):
        yield from _scoring(stage.name, work, clock)


def _training(name: str, work: Training, clock: Clock, document: Document) -> Iterator[str]:
    def too_much(changed: Training) -> float:
        return memory.training(changed, clock.shape).total - room(clock, changed.layout.ranks)

    if too_much(work) <= 0:
        return
    zero3 = replace(work.layout, zero_stage=3)
    one_row = replace(work.layout, micro_batch=1, accumulation=work.layout.accumulation * work.layout.micro_batch)
    section = name.partition("@")[0]
    p = _SECTIONS[section].read(document)
    lora = clock.shape.adapters(p.model_copy(update={"method": "lora"}))
    remedies = {
        "machine.yaml: zero_stage: 3": replace(work, layout=zero3),
        "machine.yaml: train_micro_batch: 1": replace(work, layout=one_row),
        "machine.yaml: zero_stage: 3 and train_micro_batch: 1": replace(work, layout=replace(one_row, zero_stage=3)),
        f"params.yaml: {section}.cutoff_len: {work.longest // 2}": replace(work, longest=work.longest // 2),
        f"params.yaml: {section}.method: lora": replace(work, trained=lora),
        f"params.yaml: {section}.method: lora, with machine.yaml: zero_stage: 3": replace(
            work, trained=lora, layout=replace(one_row, zero_stage=3)
        ),
    }
    fitting = (remedy for remedy, changed in remedies.items() if changed != work and too_much(changed) <= 0)
    held = memory.training(work, clock.shape)
    parts = ", ".join(f"{part} {value / GIB:.0f}" for part, value in vars(held).items() if value >= GIB)
    yield _line(name, held.total, room(clock, work.layout.ranks), next(fitting, "more or larger devices"), parts)


def _drawing(name: str, work: Drawing, clock: Clock) -> Iterator[str]:
    shape, devices = clock.shape, clock.engine_devices
    if clock.hardware.gpu and devices not in _shares(clock):
        yield (
            f"{name}: {devices} GPUs cannot share {shape.heads} heads and {shape.kv_heads} of keys and values, "
            f"or are not there: machine.yaml: tensor_parallel: {_shares(clock)[-1]}"
        )
        return
    one = memory.kv_of_one(work, clock)
    held = memory.drawing(work, clock)
    if not clock.hardware.gpu:
        if one > clock.machine.kv_cache_bytes:
            yield f"{name}: one text's keys and values: machine.yaml: kv_cache_gib: {int(one / GIB) + 1}"
        if held.total > room(clock, 1):
            yield _line(
                name, held.total, room(clock, 1), "machine.yaml: a smaller kv_cache_gib, or precision: bfloat16"
            )
    elif held.weights + one / devices > clock.machine.gpu_memory * clock.hardware.memory:
        most = _shares(clock)[-1]
        remedy = f"machine.yaml: tensor_parallel: {most}" if most > devices else "params.yaml: precision: bfloat16"
        yield _line(name, held.weights + one / devices, clock.machine.gpu_memory * clock.hardware.memory, remedy)


def _shares(clock: Clock) -> list[int]:
    """Over how many GPUs vLLM can split the model: heads are dealt out evenly, those of keys and values copied if need
    be."""
    heads, keys = clock.shape.heads, clock.shape.kv_heads
    return [n for n in range(1, clock.hardware.gpus + 1) if heads % n == 0 and (keys % n == 0 or n % keys == 0)]


def _scoring(name: str, work: Scoring, clock: Clock) -> Iterator[str]:
    held, ranks = memory.scoring(work, clock).total, clock.machine.score_ranks or 1
    if held <= room(clock, ranks):
        return
    shared = replace(clock, machine=clock.machine.model_copy(update={"score_zero3": True}))
    fits = memory.scoring(work, shared).total <= room(clock, ranks) and ranks > 1
    remedy = "machine.yaml: score_zero3: true" if fits else "machine.yaml: a smaller score_tokens, fewer score_ranks"
    yield _line(name, held, room(clock, ranks), remedy)


def _line(name: str, needed: float, there: float, remedy: str, parts: str = "") -> str:
    of_what = f" ({parts})" if parts else ""
    return f"{name}: {needed / GIB:.1f} GiB{of_what}, there are {there / GIB:.1f} a process: {remedy}"
