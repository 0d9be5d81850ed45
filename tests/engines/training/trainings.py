"""What the training tests share: parameters, a small set of weighted rows, and what a training came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML
from tiny_models import RECIPE

from vr.engines.training import trainer
from vr.renderers import markers
from vr.renderers.renderer import Renderer, Wording, load
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine
from vr.settings.training import Train

WORDING = Wording("Add.", "Explain.", "", hint="solution", template="B", proposal="posterior")
WEIGHTS = [1.0, 0.3, 0.0, 2.0, 0.7]
LONG = 60  # epochs of 3 steps: about 4 s


def params(**changes: Any) -> Train:
    """The miniature's training, shorter."""
    shorter = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3}
    return Train(**YAML(typ="safe").load(RECIPE)["training"] | shorter | changes)


def make_rows(model: Path, weights: list[float], number: int = 21, other: str = "") -> list[WeightedExample]:
    """Rows of different lengths; `other` stands in the thoughts of rows of weight 0."""
    renderer = load(model, WORDING)
    weight_of = [weights[n % len(weights)] for n in range(number)]
    return [WeightedExample(_example(renderer, n, other if w == 0 else ""), w) for n, w in enumerate(weight_of)]


def _example(renderer: Renderer, n: int, more: str) -> Any:
    response = markers.join_response(f"{n} and {n}" * (1 + n % 3) + more, f"{2 * n}")
    return renderer.initial_example(
        {"problem_id": str(n), "question": f"{n} + {n}?", "system": None, "solution": response, "reference": str(2 * n)}
    )


@dataclass
class Outcome:
    """What a training came to."""

    curves: pl.DataFrame
    weights: dict[str, Any]

    def assert_close(self, other: "Outcome", rtol: float = 1e-5, atol: float = 1e-5) -> None:
        """The same losses, gradient norms and resulting weights."""
        import torch

        assert self.curves["step"].to_list() == other.curves["step"].to_list()
        for column in ("loss", "grad_norm"):
            ours, theirs = (torch.tensor(outcome.curves[column].to_list()) for outcome in (self, other))
            torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
        torch.testing.assert_close(self.weights, other.weights, rtol=rtol, atol=atol)


def load_weights(folder: Path) -> dict[str, Any]:
    """The tensors of a model directory."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def run_train(model: Path, root: Path, settings: dict[str, Any], **machine: Any) -> trainer.Training:
    """A whole training of 8 rows a step in processes of its own, to `root/models/final`."""
    return trainer.train(
        iter(make_rows(model, WEIGHTS)),
        model,
        root / "models" / "final",
        params=params(**settings | {"batch_size": 4}),
        rows_per_question=2,
        machine=Machine(**machine),
        work_root=root / "work",
    )
