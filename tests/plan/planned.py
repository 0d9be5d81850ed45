"""What the tests of the plan share: a model of 300 weights, a machine with round figures, and runs of the recipes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from vr.plan import hardware, shapes, texts, work
from vr.plan.hardware import Hardware, Speed
from vr.plan.hours import Clock
from vr.plan.shapes import Shape
from vr.renderers.markers import join_response
from vr.settings.machine import Machine
from vr.settings.params import Base, Problems, Shared

RECIPES = Path(__file__).parents[2] / "vr" / "recipes"
SMALL = Shape(layers=2, hidden=4, heads=2, kv_heads=1, head_size=2, inner=6, vocabulary=10, tied=True, positions=100)
"""300 weights: 40 of the embedding, 2 layers of 120 + 8 of norms, 4 of the last norm."""
TWO_CORES = Hardware(None, 0, 2, 16e9)
ROUND = Speed(
    train=1e6, forward=1e6, bandwidth=1e6, train_step=0.5, rank_step=0.25, decode_step=0.1, logit=0.001, request=0.01,
    verdicts=100, programs=10, decode=1,
    start={"train": 10, "score": 5, "sample": 20, "make": 4, "check": 3, "table": 1},
    source={"train": "made up", "forward": "made up", "decode": "made up"},
)  # fmt: skip


def clock(shape: Shape = SMALL, on: Hardware = TWO_CORES, speed: Speed = ROUND, **machine: Any) -> Clock:
    """A clock with made-up speeds."""
    return Clock(shape, hardware.settled(Machine(**machine), on), on, lambda _: speed)


def document(recipe: str, **changes: Any) -> dict[str, Any]:
    """A recipe's entries, some changed; `train_initial__source` is the entry `source` of `train_initial`."""
    found = YAML(typ="safe", pure=True).load((RECIPES / f"{recipe}.yaml").read_text())
    for place, value in changes.items():
        *path, last = place.split("__")
        section = found
        for key in path:
            section = section[key]
        section[last] = value
    return found


def run(recipe: str, on: Hardware = TWO_CORES, machine: Machine | None = None, **changes: Any) -> work.Run:
    """A run of a recipe where nothing has been made yet."""
    entries, nowhere = document(recipe, **changes), Path("nowhere")
    return work.Run(
        entries,
        texts.assumed(Problems.read(entries), Shared.read(entries)),
        shapes.of_base(Base.read(entries), nowhere),
        hardware.settled(machine or Machine(), on),
        on,
        None,
    )


def stages(recipe: str, **how: Any) -> dict[str, work.Stage]:
    """The planned stages of a recipe by name."""
    return {stage.name: stage for stage in work.stages(run(recipe, **how))}


def gpus(name: str, n: int) -> Hardware:
    """A machine with n GPUs and 64 cores."""
    return replace(hardware.of_gpus(name, n), cores=64)


def saved(path: Path, *questions: str) -> Path:
    """A table of problems, with the columns that the plan reads."""
    rows = [
        {
            "problem_id": f"p{index}", "question": question, "system": None, "reference": "2", "verifier": "math",
            "solution": join_response(f"{question}=2", "\\boxed{2}"),
        }
        for index, question in enumerate(questions)
    ]  # fmt: skip
    pl.DataFrame(rows, {name: pl.String for name in rows[0]}).write_parquet(path)
    return path
