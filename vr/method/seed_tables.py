"""Tables that are one file per seed, `<folder>/seed=N.parquet`, read for some seeds.

Files are named by the seeds, never found by a glob: the file of a seed that is no longer used may still lie there.
Knows nothing of what is computed from the rows.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import dataframely as dy
import polars as pl

from vr.tables import parquet
from vr.tables.keys import ByProblem
from vr.tables.schemas import Logps, TraceKey
from vr.tables.vocabulary import TRACE_KEY

S = TypeVar("S", bound=TraceKey)


def read(folder: Path, schema: type[S], seeds: Sequence[int], columns: Sequence[str]) -> dy.DataFrame[S]:
    """The key and these columns of every trace of the seeds, seed by seed.

    Raises:
        FileNotFoundError, ValueError: as `parquet.read`.
    """
    frames = (parquet.read(_path(folder, seed), schema, (*TRACE_KEY, *columns)) for seed in seeds)
    return cast(dy.DataFrame[S], pl.concat(frames))


def by_problem(folder: Path, schema: type[S], seeds: Sequence[int], columns: Sequence[str]) -> dict[int, ByProblem[S]]:
    """The table of each seed, to ask for the rows of some problems.

    Raises:
        FileNotFoundError, ValueError: as `parquet.read`.
    """
    return {seed: ByProblem(_path(folder, seed), schema, (*TRACE_KEY, *columns)) for seed in seeds}


def read_logps(folder: Path, seeds: Sequence[int], columns: Sequence[str], *, token_logps: bool) -> dy.DataFrame[Logps]:
    """`read` of schemas.Logps; with `token_logps`, trace_logp_sum is summed anew over the lists of tokens.

    The lists are read a row group at a time, the seeds in parallel: memory does not grow with the number of traces.

    Args:
        columns: of schemas.Logps, trace_logp_sum and trace_tokens among them.

    Raises:
        FileNotFoundError, ValueError: as `parquet.read` and `sums_of_lists`.
    """
    if not token_logps:
        return read(folder, Logps, seeds, columns)

    def summed(seed: int) -> pl.DataFrame:
        batches = parquet.read_batches(_path(folder, seed), Logps, (*TRACE_KEY, *columns, "trace_logps"))
        return pl.concat(sums_of_lists(batches))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding Parquet is most of the work and releases the GIL
        return cast(dy.DataFrame[Logps], pl.concat(pool.map(summed, seeds)))


def sums_of_lists(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """log p(z_k | ...) of every trace as the sum over its tokens, in float64.

    A trace that the scorer could not score (trace_logp_sum is null) stays without a sum.

    Args:
        batches: frames of schemas.Logps with trace_logp_sum, trace_tokens and trace_logps.

    Returns:
        The same frames with the new trace_logp_sum and without trace_logps.

    Raises:
        ValueError: a scored trace without a list, or a list of another length than trace_tokens.
    """
    logps = pl.col("trace_logps").list
    total = logps.agg(pl.element().cast(pl.Float64).sum())
    for batch in batches:
        is_scored = pl.col("trace_logp_sum").is_not_null()
        _require_whole_lists(batch.filter(is_scored).select(*TRACE_KEY, "trace_tokens", n_logps=logps.len()))
        yield batch.with_columns(trace_logp_sum=pl.when(is_scored).then(total)).drop("trace_logps")


def _require_whole_lists(scored: pl.DataFrame) -> None:
    n_logps = pl.col("n_logps")
    if (without := scored.filter(n_logps.is_null())).height:
        raise ValueError(
            f"logps: {without.height} scored trace(s) have no trace_logps, the first: {without.row(0, named=True)};"
            " weigh.token_logps needs score_initial.token_logps and score_posterior.token_logps"
        )
    if (odd := scored.filter(n_logps != pl.col("trace_tokens"))).height:
        raise ValueError(
            f"logps: {odd.height} trace(s) with another number of trace_logps than trace_tokens,"
            f" the first: {odd.row(0, named=True)}"
        )


def _path(folder: Path, seed: int) -> Path:
    return folder / f"seed={seed}.parquet"
