"""The speed of this machine, measured with the engines that the stages use: a training of a few steps, a few scoring
batches, a full batch of short texts. Random tokens stand for text: speed does not depend on them.

Each measurement is a process of its own, as each stage is, so the time of its start is measured too. Nothing is
kept.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from vr.engines.training import job, launch, training_set
from vr.engines.training.layout import Layout
from vr.engines.training.publish import DTYPES
from vr.plan.hardware import Precision, Speed, measured
from vr.plan.hours import Clock
from vr.plan.work import Drawing, Run, Scoring, Stage, Training
from vr.renderers.example import Example
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine, cores, gpus
from vr.settings.params import Sampling
from vr.settings.training import TrainInitial

_SECONDS = 12.0
"""A measurement takes about this, beside its start."""
_PROMPT = 16
"""Tokens of a prompt where decoding is measured: reading prompts is measured by the scorer."""


def speed(base: Path, assumed: Speed, precision: Precision, run: Run, planned: Sequence[Stage]) -> Speed:
    """The speed of one device in one precision: what the planned stages need of it is measured, the rest assumed.

    Raises:
        RuntimeError: an engine failed.
    """
    works = [stage.work for stage in planned]
    clock = Clock(run.shape, run.machine, run.hardware, lambda _: assumed)
    found = assumed
    for work in works:
        if isinstance(work, Training) and work.precision == precision:
            found = _with_training(found, base, run, clock, work)
            break
    for work in works:
        if isinstance(work, Scoring) and work.precision == precision:
            found = _with_scoring(found, base, run, clock, work)
            break
    for work in works:
        if isinstance(work, Drawing) and work.precision == precision:
            return _with_drawing(found, base, run, replace(clock, speeds=lambda _: found), work)
    return found


def _with_training(assumed: Speed, base: Path, run: Run, clock: Clock, work: Training) -> Speed:
    """What takes most of a step is set right: its operations, or what it takes beside them."""
    layout = _short(work.layout, lambda rows: clock.training_step(work, rows))
    planned = layout.accumulation * clock.training_step(work, layout.micro_batch)
    steps = max(2, min(100, round(_SECONDS / planned)))
    _say(f"training, {steps} steps of {layout.batch} rows in {work.precision}")
    began = time.monotonic()
    took = _train(base, run, clock, layout, work, steps)
    start = time.monotonic() - began - took
    step = max(took / steps - clock.optimizing(work), took / steps / 2) / layout.accumulation
    operations = clock.operations(work, layout.micro_batch)
    ranks = (layout.ranks - 1) * assumed.rank_step
    known = operations / assumed.train
    if known > assumed.train_step + ranks:
        changed = {"train": operations / max(step - assumed.train_step - ranks, step / 2)}
    else:
        changed = {"train_step": max(step - known - ranks, step / 2)}
    return measured(assumed, start={**assumed.start, "train": start}, **changed)


def _short(layout: Layout, seconds: Callable[[int], float]) -> Layout:
    """The layout with fewer rows and micro-batches a step where those take long.

    Args:
        seconds: of a micro-batch of so many rows.
    """
    rows = layout.micro_batch
    while rows > 1 and seconds(rows) > _SECONDS / 2:
        rows //= 2
    return replace(
        layout, micro_batch=rows, accumulation=max(1, min(layout.accumulation, round(_SECONDS / seconds(rows))))
    )


def _train(base: Path, run: Run, clock: Clock, layout: Layout, work: Training, steps: int) -> float:
    """Seconds of a training of random rows, its start and end left out."""
    p = TrainInitial.read(run.document).model_copy(update={"epochs": 1.0, "precision": work.precision})
    without_checkpoints = run.machine.model_copy(update={"checkpoint_steps": 1_000_000})
    rows = _random_rows(run.shape.vocabulary, work.row_tokens, steps * layout.batch)
    with tempfile.TemporaryDirectory(prefix="vr-plan-") as name:
        folder = Path(name)
        stats = training_set.save(
            rows, folder / "rows", cutoff_len=p.cutoff_len, multiple_of=layout.batch, vocabulary=run.shape.vocabulary
        )
        with _quietly():
            file = job.write(folder, base.resolve(), p, stats, layout, without_checkpoints)
            launch.launch(file, layout, clock.threads(layout.ranks))
        history = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    return float(next(entry["train_runtime"] for entry in history if "train_runtime" in entry))


def _with_scoring(assumed: Speed, base: Path, run: Run, clock: Clock, work: Scoring) -> Speed:
    tokens = run.machine.score_tokens or round(work.text_tokens)
    _say(f"scoring, batches of {tokens} tokens in {work.precision}")
    texts, length = max(1, round(tokens / work.text_tokens)), round(work.text_tokens)
    operations = texts * length * clock.shape.forward(length / 2)
    n = max(2, min(50, round(_SECONDS / 2 / (operations / assumed.forward))))
    found = _in_a_process("score", base, run, work.precision, n=n, texts=texts, length=length, threads=clock.threads())
    return measured(
        assumed, forward=n * operations / found["seconds"], start={**assumed.start, "score": found["start"]}
    )


def _with_drawing(assumed: Speed, base: Path, run: Run, clock: Clock, work: Drawing) -> Speed:
    short = replace(work, prompt_tokens=_PROMPT, text_tokens=2 * _PROMPT)
    batch = int(clock.batch(short))
    _say(f"sampling, {batch} texts at once in {work.precision}")
    steps = max(8, min(128, round(_SECONDS / clock.step(short, batch))))
    found = _in_a_process("draw", base, run, work.precision, texts=batch, length=steps)
    alive = found["tokens"] / found["steps"]
    return measured(
        assumed,
        decode=found["seconds"] / found["steps"] / clock.step(short, alive),
        start={**assumed.start, "sample": found["start"]},
    )


def _in_a_process(kind: str, base: Path, run: Run, precision: Precision, **numbers: int) -> dict[str, float]:
    """What `_score` or `_draw` measures, and the seconds that the process took beside that.

    Raises:
        RuntimeError: it failed.
    """
    task = {
        "kind": kind,
        "base": str(base),
        "precision": DTYPES[precision],
        "vocabulary": run.shape.vocabulary,
        **numbers,
    }
    command = [
        sys.executable,
        "-m",
        "vr.plan.probe",
        json.dumps(task),
        run.machine.model_dump_json(),
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{base}: the measurement failed ({last[0]}); --no-probe leaves it out")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"start": time.monotonic() - began - found["all"]}


def _score(task: dict[str, Any], _machine: Machine) -> dict[str, float]:
    from vr.engines.scoring import forward

    base, head = forward.load(task["base"], task["precision"], "cuda" if gpus() else "cpu", task["threads"])
    ids, n = _random_ids(task["vocabulary"]), task["length"] + 1
    batch = [Example([next(ids) for _ in range(n)], n // 2, (n // 2, n)) for _ in range(task["texts"])]
    forward.score_batch(base, head, batch[:1], False)  # what the first pass alone does
    began = time.monotonic()
    for _ in range(task["n"]):
        forward.score_batch(base, head, batch, False)
    took = time.monotonic() - began
    return {"seconds": took, "all": took}


def _draw(task: dict[str, Any], machine: Machine) -> dict[str, float]:
    """Texts of one token, then longer ones: the difference is decoding."""
    from vr.engines.sampling import Request, request_seed
    from vr.engines.sampling.engine import open_engine
    from vr.engines.sampling.sampler import draw

    ids = _random_ids(task["vocabulary"])

    def drawn(engine: Any, most: int) -> tuple[float, list[int]]:
        requests = [
            Request(index, [next(ids) for _ in range(_PROMPT)], request_seed("plan", str(index), most))
            for index in range(task["texts"])
        ]
        decoding = Sampling(temperature=1.0, top_p=1.0, max_tokens=most, precision=task["precision"])
        began = time.monotonic()
        samples = [sample for _, sample in draw(engine, requests, decoding, total=len(requests), end_marker=None)]
        return time.monotonic() - began, [len(sample.ids) for sample in samples]

    with open_engine(task["base"], task["precision"], machine) as engine:
        began = time.monotonic()
        drawn(engine, 2)
        one, _ = drawn(engine, 1)
        many, lengths = drawn(engine, task["length"])
        whole = time.monotonic() - began
    tokens, steps = sum(lengths) - len(lengths), max(lengths) - 1
    return {"seconds": max(many - one, many / 10), "tokens": tokens, "steps": max(1, steps), "all": whole}


def _random_rows(vocabulary: int, mean: float, n: int) -> Iterator[WeightedExample]:
    """Rows of half to one and a half times the mean length: as real ones they need padding."""
    ids, draws = _random_ids(vocabulary), random.Random(1)
    for _ in range(n):
        tokens = max(4, round(mean * draws.uniform(0.5, 1.5)))
        trained = (tokens // 2, tokens)
        yield WeightedExample(Example([next(ids) for _ in range(tokens)], trained[0], trained), 1.0)


def _random_ids(vocabulary: int) -> Iterator[int]:
    """Token ids, of the upper half: special tokens stand at the begin."""
    draws = random.Random(0)
    while True:
        yield draws.randrange(vocabulary // 2, vocabulary)


def _say(what: str) -> None:
    print(f"plan: measuring {what}{_busy()}", file=sys.stderr, flush=True)


@cache
def _busy() -> str:
    """A warning where other work goes on. Asked once, before the measurements are work themselves."""
    load = psutil.getloadavg()[0]
    return f" (other work goes on, load {load:.1f}: rates will be too low)" if load > 0.5 * cores() else ""


@contextmanager
def _quietly() -> Iterator[None]:
    """What the training's ranks print is passed on to standard error: leave it out."""
    import io
    from contextlib import redirect_stderr

    with redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    """Measure what the first argument says, with the machine of the second; the last line is JSON."""
    task, machine = json.loads(sys.argv[1]), Machine.model_validate_json(sys.argv[2])
    print(json.dumps({"score": _score, "draw": _draw}[task["kind"]](task, machine)))


if __name__ == "__main__":
    main()
