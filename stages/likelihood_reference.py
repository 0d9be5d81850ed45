"""The likelihood term of the estimators gml, l and uniform for one seed, from the reference answer (step 5).

Reads LOGPS_INITIAL. Writes LIKELIHOOD (tables.Likelihood); the name of its folder is the estimator.
"""

import logging
from pathlib import Path

from stages import counts, run
from vr import tables, weights


def main(logps_initial: Path, likelihood: Path) -> None:
    logps = tables.read(logps_initial, tables.Logps, (*weights.KEY, "answer_logp_sum", "answer_tokens"))
    frame = weights.reference_likelihood(logps, likelihood.parent.name)
    tables.write(frame, likelihood, tables.Likelihood)
    logging.info("%d traces: %s", frame.height, counts(frame, "reason"))


if __name__ == "__main__":
    run(main)
