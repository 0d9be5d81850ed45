"""The plan as text, 100 columns wide: the stages, the totals, what the figures rest on, what does not fit."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from vr.plan import disk, hours, memory
from vr.plan.hours import Clock
from vr.plan.work import Drawing, Run, Scoring, Stage, Training

_WIDTH = 100
_HEAD = ("stage", "x", "rows", "tokens", "steps", "batch", "time each", "memory", "disk")
_WIDTHS = (34, 3, 8, 8, 6, 12, 10, 8, 7)


def text(planned: Sequence[Stage], run: Run, clock: Clock, misfits: Sequence[str]) -> str:
    """The whole page."""
    return "\n".join(
        [
            _row(_HEAD),
            *(_row(_cells(stage, clock)) for stage in planned),
            "",
            *_totals(planned, clock),
            "",
            *_basis(planned, run, clock),
            "",
            *(_wrapped("does not fit: ", line) for line in misfits or ["nothing"]),
        ]
    )


def _cells(stage: Stage, clock: Clock) -> tuple[str, ...]:
    steps = batch = ""
    if isinstance(stage.work, Training):
        layout = stage.work.layout
        steps = str(stage.work.steps)
        batch = f"{layout.batch}={layout.micro_batch}x{layout.accumulation}x{layout.ranks}"
    held = memory.of_work(stage.work, clock)
    return (
        stage.name,
        str(stage.times),
        _count(stage.rows),
        _count(stage.tokens) if stage.tokens else "",
        steps,
        batch,
        duration(clock.seconds(stage.work)),
        _bytes(held.total) if held else "",
        _bytes(stage.bytes),
    )


def _row(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return (first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in others)).rstrip()


def _totals(planned: Sequence[Stage], clock: Clock) -> Iterator[str]:
    summed = sum(stage.times * clock.seconds(stage.work) for stage in planned)
    at_once, whole = clock.machine.at_once, hours.of_run(planned, clock)
    yield f"all stages, one after another: {duration(summed)}; with stages_at_once = {at_once}: {duration(whole)}"
    yield "of these " + ", ".join(f"{step} {duration(took)}" for step, took in _by_step(planned, clock).items())
    used = disk.of_run(planned, clock.shape)
    yield (
        f"disk: tables {_bytes(used.tables)}, models {_bytes(used.models)}, a training's checkpoints meanwhile "
        f"{_bytes(used.checkpoints)};"
    )
    yield f"      {_bytes(used.linked)} where DVC's cache is linked, {_bytes(used.copied)} where it is a copy"


def _by_step(planned: Sequence[Stage], clock: Clock) -> dict[str, float]:
    """Seconds of the steps of the method, one stage after another."""
    found = dict.fromkeys(("training", "sampling", "scoring", "evaluation", "the rest"), 0.0)
    steps = {Training: "training", Scoring: "scoring", Drawing: "sampling"}
    for stage in planned:
        step = "evaluation" if stage.name.startswith("evaluate@") else steps.get(type(stage.work), "the rest")
        found[step] += stage.times * clock.seconds(stage.work)
    return found


def _basis(planned: Sequence[Stage], run: Run, clock: Clock) -> Iterator[str]:
    t, shape = run.texts, clock.shape
    yield f"on {clock.hardware.name}; a model of {shape.weights:,} weights"
    yield _wrapped("tokens: ", f"prompt {t.prompt:.0f}, trace {t.trace:.0f}, answer {t.answer:.0f}; {t.source}")
    yield _wrapped(
        "        ",
        f"sampled traces {run.trace:.0f}, sampled answers {run.answer:.0f}, responses as long as both together",
    )
    kinds = {stage.name.partition("@")[0]: stage for stage in reversed(planned) if isinstance(stage.work, _PACED)}
    yield from (_rate(stage, clock) for stage in reversed(kinds.values()))
    if clock.hardware.gpus > clock.engine_devices:
        yield f"sampling: {clock.engine_devices} of {clock.hardware.gpus} GPUs work (machine.yaml: tensor_parallel)"
    yield "vr/plan/hours.py and vr/plan/memory.py give the formulas"


_PACED = (Training, Drawing, Scoring)


def _rate(stage: Stage, clock: Clock) -> str:
    """The rate of the first stage of a kind: tokens a second, of all devices."""
    work = stage.work
    assert isinstance(work, _PACED)
    speed, kind = clock.speeds(work.precision), stage.name.partition("@")[0]
    if isinstance(work, Training):
        tokens = work.steps * work.layout.batch * work.row_tokens
        rate, source = tokens / (clock.training(work) - speed.start["train"]), speed.source["train"]
    elif isinstance(work, Drawing):
        rate, source = work.texts * work.text_tokens / clock.decoding(work), speed.source["decode"]
    else:
        tokens = work.texts * work.text_tokens
        rate, source = tokens / (clock.scoring(work) - speed.start["score"]), speed.source["forward"]
    return _wrapped(f"{kind}: ", f"{rate:,.0f} tokens/s in {work.precision}: {source}")


def _wrapped(label: str, words: str) -> str:
    return "\n".join(wrap(words, _WIDTH, initial_indent=label, subsequent_indent=" " * min(len(label), 8)))


def duration(seconds: float) -> str:
    """`41 s`, `12 min`, `3.5 h` or `12 d`."""
    for size, unit in ((86_400 * 4, "d"), (3600 * 1.5, "h"), (300, "min")):
        if seconds >= size:
            length = {"d": 86_400, "h": 3600, "min": 60}[unit]
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _count(number: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:,.0f}"


def _bytes(number: float) -> str:
    for size, unit in ((2**30, "G"), (2**20, "M"), (2**10, "K")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
