"""Bytes on disk: of the tables and models of a run, and of a training's checkpoints meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

from vr.plan.shapes import BYTES, Shape
from vr.plan.work import Stage, Training


@dataclass(frozen=True)
class Disk:
    """Bytes that a run takes. DVC links files into its cache where the file system lets it; else it copies them."""

    tables: float
    models: float
    checkpoints: float
    """of the training that takes most; they are gone when it ends"""

    @property
    def linked(self) -> float:
        """At most at one time, where the cache is linked."""
        return self.tables + self.models + self.checkpoints

    @property
    def copied(self) -> float:
        """At most at one time, where the cache is a copy."""
        return self.linked + self.tables + self.models


def checkpoints(weights: int, trained: int, number: int) -> int:
    """Two checkpoints, since the last but one is removed when the last is whole: weights, and 12 bytes for each
    trained weight (fp32 weights and two moments).

    Args:
        number: bytes of a weight.
    """
    return 2 * (weights * number + 12 * trained)


def of_run(planned: Sequence[Stage], shape: Shape) -> Disk:
    """The sums over all stages."""
    trainings = [stage.work for stage in planned if isinstance(stage.work, Training)]
    models = [stage for stage in planned if stage.name.startswith(("train_", "published", "base"))]
    tables = [stage for stage in planned if stage not in models]
    return Disk(
        tables=sum(stage.bytes * stage.times for stage in tables),
        models=sum(stage.bytes * stage.times for stage in models),
        checkpoints=max(
            (checkpoints(shape.weights, work.trained, BYTES[work.precision]) for work in trainings), default=0
        ),
    )
