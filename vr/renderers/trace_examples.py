"""Examples of sampled traces, to be scored: tables of traces and problems to sequences, in the order of the traces.

Not covered: what an example of one trace looks like (renderer.py), and its score (vr/engines/scoring).
"""

from pathlib import Path

import polars as pl

from vr.renderers.example import Example
from vr.renderers.model_directory import unknown_id, vocabulary
from vr.renderers.renderer import Renderer
from vr.tables.keys import with_problems
from vr.tables.vocabulary import TRACE_KEY

TRACE_COLUMNS = ("trace_ids", "trace_tokens", "thought_tokens")
"""What is needed of a trace, besides its key; trace_tokens so that a wrong one is found where the ids are read."""


def require_known_ids(traces: pl.DataFrame, model: str | Path) -> None:
    """Check that the model knows every token of the traces; cheap, so that it can stand before long work.

    Args:
        traces: rows of schemas.Traces with key and trace_ids.

    Raises:
        ValueError: it does not; names the first such trace and the id.
    """
    known = vocabulary(model)
    ids = pl.col("trace_ids").list
    unknown = traces.filter((ids.max() >= known) | (ids.min() < 0))
    if unknown.height:
        key = unknown.select(TRACE_KEY).row(0, named=True)
        found = unknown_id(unknown["trace_ids"][0].to_list(), known)
        raise ValueError(f"traces: {key}: token id {found}, but {model} has {known}")


def under_initial(renderer: Renderer, problems: pl.DataFrame, traces: pl.DataFrame) -> list[Example]:
    """(x, z_k, y*) as pi_0 writes them: trace and reference answer are scored in one pass.

    Args:
        problems: rows of schemas.Problems with `PROBLEM_COLUMNS`.
        traces: rows of schemas.Traces with key and TRACE_COLUMNS.

    Raises:
        ValueError: a trace whose problem is missing, or a problem without its solution's markers.
    """
    return [
        renderer.reasoner_example(row, renderer.as_reasoner_trace(row["trace_ids"], row["thought_tokens"]))
        for row in with_problems(traces, problems).iter_rows(named=True)
    ]


def under_proposal(renderer: Renderer, problems: pl.DataFrame, traces: pl.DataFrame) -> list[Example]:
    """(x, y', z_k) as the model was given and wrote them that drew the traces.

    Args, Raises: as `under_initial`.
    """
    return [
        renderer.proposal_example(row, row["trace_ids"])
        for row in with_problems(traces, problems).iter_rows(named=True)
    ]
