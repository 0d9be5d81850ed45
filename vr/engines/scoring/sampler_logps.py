"""The sampler's own log-probs of the traces it drew, in place of the scorer's: as a table, and compared with them.

On other kernels, or in another precision, the two differ a little; `compare` says by how much.
"""

from collections.abc import Callable, Sequence
from typing import Any

import dataframely as dy
import polars as pl

from vr.engines.scoring.forward import Score
from vr.engines.scoring.scorer import Scorer, score_block
from vr.renderers.example import Example
from vr.tables.schemas import Traces
from vr.tables.vocabulary import TRACE_KEY

N_COMPARED = 64
"""About so many traces are scored for the comparison, evenly spread over the table."""


def as_logps(traces: dy.DataFrame[Traces], *, token_logps: bool) -> pl.DataFrame:
    """The rows of schemas.Logps, from the log-probs that the sampler gave its own tokens.

    Args:
        traces: problem_id, seed, trace_ids, trace_logps.
        token_logps: keep the log-prob of every trace token.

    Raises:
        ValueError: a trace has no log-probs, or not one for each token; the first such trace is named.
    """
    per_token = pl.col("trace_logps")
    bad = traces.filter((per_token.list.len() != pl.col("trace_ids").list.len()) | per_token.is_null())
    if bad.height:
        first = bad.select(TRACE_KEY).row(0, named=True)
        raise ValueError(f"traces: {bad.height} without the log-prob of every token, the first: {first}")
    return traces.select(
        *TRACE_KEY,
        trace_logp_sum=per_token.cast(pl.List(pl.Float64)).list.sum(),
        trace_tokens=per_token.list.len().cast(pl.Int32),
        answer_logp_sum=pl.lit(None, pl.Float64),
        answer_tokens=pl.lit(None, pl.Int32),
        trace_logps=per_token if token_logps else pl.lit(None, pl.List(pl.Float32)),
    )


def compare(
    score: Scorer, traces: dy.DataFrame[Traces], examples_of: Callable[[pl.DataFrame], list[Example]]
) -> dict[str, float]:
    """How far the sampler's log-probs are from the scorer's, in nats, over all tokens of about `N_COMPARED` traces.

    Args:
        traces: trace_logps and the columns that `examples_of` needs.
        examples_of: turns a block of `traces` into one example for each of its rows, in their order.

    Raises:
        ValueError: as `score_block`.
    """
    some = traces.gather_every(max(1, traces.height // N_COMPARED))
    return _differences(some["trace_logps"], score_block(score, some, examples_of, token_logps=True))


def _differences(sampled: pl.Series, scores: Sequence[Score]) -> dict[str, Any]:
    distances = [
        abs(sampled_logp - scored_logp)
        for sampled_logps, score in zip(sampled, scores, strict=True)
        if score.trace_logps is not None
        for sampled_logp, scored_logp in zip(sampled_logps, score.trace_logps, strict=True)
    ]
    return {
        "compared_traces": len(scores),
        "compared_tokens": len(distances),
        "mean_abs_difference_nats": sum(distances) / max(1, len(distances)),
        "max_abs_difference_nats": max(distances, default=0.0),
    }
