"""The likelihood term of the estimators gml, l and uniform for one seed, from the reference answer (step 5).

Reads LOGPS_INITIAL. Writes LIKELIHOOD (schemas.Likelihood); the name of its folder is the estimator.
"""

import logging
from pathlib import Path

from stages import counts, run
from vr.method import weights
from vr.tables import parquet, schemas


def main(logps_initial: Path, likelihood: Path) -> None:
    logps = parquet.read(logps_initial, schemas.Logps, (*weights.KEY, "answer_logp_sum", "answer_tokens"))
    frame = weights.reference_likelihood(logps, likelihood.parent.name)
    parquet.write(frame, likelihood, schemas.Likelihood)
    logging.info("%d traces: %s", frame.height, counts(frame, "reason"))


if __name__ == "__main__":
    run(main)
