"""A published model in the place of one that a stage would train."""

from pathlib import Path

import polars as pl

from vr.engines.training.trainer import CURVES
from vr.settings.training import Train
from vr.sources import models
from vr.tables.files import atomic_file


def take(p: Train, base: Path, out: Path, statistics: Path, curves: Path) -> None:
    """Fetch the model that `p.source` names; its statistics say where it is from, its curves have no step.

    Raises:
        FileNotFoundError, ValueError, OSError: as `models.fetch`; its tokenizer is not that of `base`.
    """
    assert p.source is not None
    commit = models.fetch(p.source, p.revision, out, p.section, base=base)
    models.record(p.source, commit, statistics)
    with atomic_file(curves) as part:
        pl.DataFrame(schema=CURVES).write_csv(part)
