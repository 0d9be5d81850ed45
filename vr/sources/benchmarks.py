"""Held-out questions: which source makes the table of a benchmark.

Knows the names of the benchmarks alone; what is in them, and how it is made, is each source's own module.
"""

from collections.abc import Callable
from typing import Any

import dataframely as dy

from vr.settings import params
from vr.sources import miniature
from vr.tables import schemas

SOURCES: dict[str, Callable[[str, Any], dy.DataFrame[schemas.Benchmark]]] = {
    name: miniature.benchmark for name in miniature.BENCHMARKS
}
"""Maps a benchmark's name to the function that makes its table from its name and its entry of params.yaml."""


def load(name: str, settings: params.Benchmark, _folder: str | None) -> dy.DataFrame[schemas.Benchmark]:
    """The questions of one benchmark.

    Args:
        name: of the benchmark, as in the section `benchmark` of params.yaml.
        settings: that entry.

    Raises:
        ValueError: there is no such benchmark, or it has fewer questions than asked for.
    """
    require_source(name)
    return SOURCES[name](name, settings)


def require_source(name: str) -> None:
    """Check that there is a benchmark of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in SOURCES:
        there_are = ", ".join(sorted(SOURCES))
        raise ValueError(f"params.yaml: benchmark.{name}: no such benchmark (there are: {there_are})")
