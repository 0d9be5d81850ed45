"""The weights rho~ of the first K seeds' traces (steps 5; Eq. 6 and 8).

Reads PROBLEMS and, of the folders TRACES, LOGPS_INITIAL, LOGPS_POSTERIOR and LIKELIHOOD, the files of those seeds
(never all that lie there: a dropped seed's file may still). Writes WEIGHTS (schemas.Weights). Lists of tokens are read
only with `token_logps`, and then a row group at a time.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from stages import counts, params, run
from vr.method import weights
from vr.settings.params import Weigh
from vr.tables import parquet, schemas


def main(
    problems: Path, traces: Path, logps_initial: Path, logps_posterior: Path, likelihood: Path, weights_out: Path
) -> None:
    p = params(Weigh)
    seeds = p.seeds[: p.K]

    def of_seeds(folder: Path, schema: type, columns: tuple[str, ...]) -> pl.DataFrame:
        return pl.concat(
            parquet.read(folder / f"seed={seed}.parquet", schema, (*weights.KEY, *columns)) for seed in seeds
        )

    def logps(folder: Path, columns: tuple[str, ...] = ()) -> pl.DataFrame:
        columns = ("trace_logp_sum", "trace_tokens", *columns)
        if not p.token_logps:
            return of_seeds(folder, schemas.Logps, columns)
        columns = (*weights.KEY, *columns, "trace_logps")

        def summed(seed: int) -> pl.DataFrame:
            batches = parquet.read_batches(folder / f"seed={seed}.parquet", schemas.Logps, columns)
            return pl.concat(weights.sums_of_lists(batches))

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding is most of the work, and leaves Python's lock alone
            return pl.concat(pool.map(summed, seeds))

    frame = weights.weigh(
        parquet.read(problems, schemas.Problems, ("problem_id", "source", "split")).filter(split="train"),
        of_seeds(traces, schemas.Traces, ("trace_tokens", "finish")),
        logps(logps_initial, ("answer_logp_sum", "answer_tokens")),
        logps(logps_posterior),
        of_seeds(likelihood, schemas.Likelihood, ("log_likelihood", "reason")),
        estimator=p.estimator,
        seeds=seeds,
        ratio=p.ratio,
        max_trace_tokens=p.max_trace_tokens,
        weak_verifier_sources=p.weak_verifier_sources,
    )
    parquet.write(frame, weights_out, schemas.Weights)
    ess = weights.effective_sample_size(frame)["effective_sample_size"]
    logging.info(
        "%s, K = %d: %d traces: %s; %d of %d questions without weight; effective sample size %.2f",
        p.estimator, p.K, frame.height, counts(frame, "reason"), (ess == 0).sum(), len(ess), ess.mean(),
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
