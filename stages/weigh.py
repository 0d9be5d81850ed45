"""The weights rho~ of the first K seeds' traces (step 5; Eq. 6 and 8).

Reads PROBLEMS, those of them in SUBSET and, of the folders TRACES, LOGPS_INITIAL, LOGPS_PROPOSAL and LIKELIHOOD, the
files of those seeds. Writes WEIGHTS (schemas.Weights). Lists of tokens are read only with `token_logps`.
"""

import logging
from pathlib import Path

from stages._run import Out, run
from stages._settings import params
from vr.method import seed_tables, weights
from vr.settings.params import Weigh
from vr.tables import keys, parquet, schemas

SUMS = ("trace_logp_sum", "trace_tokens")


def main(
    problems: Path,
    subset: Path,
    traces: Path,
    logps_initial: Path,
    logps_proposal: Path,
    likelihood: Path,
    weights_out: Out,
) -> None:
    p = params(Weigh)
    seeds = p.seeds[: p.K]
    frame = weights.weigh(
        keys.problems_of(problems, subset, ("problem_id", "source", "self_check")),
        seed_tables.read(traces, schemas.Traces, seeds, ("trace_tokens", "finish")),
        seed_tables.read_logps(
            logps_initial, seeds, (*SUMS, "answer_logp_sum", "answer_tokens"), token_logps=p.token_logps
        ),
        seed_tables.read_logps(logps_proposal, seeds, SUMS, token_logps=p.token_logps),
        seed_tables.read(likelihood, schemas.Likelihood, seeds, ("log_likelihood", "reason")),
        p,
    )
    parquet.write(frame, weights_out, schemas.Weights)
    logging.info("%s, K = %d: %s", p.estimator, p.K, weights.summary(frame))


if __name__ == "__main__":
    run(main)
