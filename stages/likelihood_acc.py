"""The likelihood term of the acc estimator, log acc_k, for one seed, and a correct answer for each trace (step 5).

Reads TRACES, ANSWERS, VERIFICATIONS. Writes LIKELIHOOD (schemas.Likelihood).
"""

import logging
from pathlib import Path

from stages import counts, params, run
from vr.method import weights
from vr.settings.params import LikelihoodAcc
from vr.tables import parquet, schemas


def main(traces: Path, answers: Path, verifications: Path, likelihood: Path) -> None:
    frame = weights.accuracy(
        parquet.read(traces, schemas.Traces, (*weights.KEY, "finish")),
        parquet.read(verifications, schemas.Verifications, (*weights.KEY, "sample", "outcome")),
        parquet.read(answers, schemas.Answers, (*weights.KEY, "sample", "answer_ids")),
        params(LikelihoodAcc).seed,
    )
    parquet.write(frame, likelihood, schemas.Likelihood)
    logging.info("%d traces: %s", frame.height, counts(frame, "reason"))


if __name__ == "__main__":
    run(main)
