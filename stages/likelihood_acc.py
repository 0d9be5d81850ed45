"""The likelihood term of the acc estimator, log acc_k, for one seed, and a correct answer for each trace (step 5).

Reads TRACES, ANSWERS, VERIFICATIONS. Writes LIKELIHOOD (tables.Likelihood).
"""

import logging
from pathlib import Path

from stages import counts, params, run
from vr import tables, weights
from vr.params import LikelihoodAcc


def main(traces: Path, answers: Path, verifications: Path, likelihood: Path) -> None:
    frame = weights.accuracy(
        tables.read(traces, tables.Traces, (*weights.KEY, "finish")),
        tables.read(verifications, tables.Verifications, (*weights.KEY, "sample", "outcome")),
        tables.read(answers, tables.Answers, (*weights.KEY, "sample", "answer_ids")),
        params(LikelihoodAcc).seed,
    )
    tables.write(frame, likelihood, tables.Likelihood)
    logging.info("%d traces: %s", frame.height, counts(frame, "reason"))


if __name__ == "__main__":
    run(main)
