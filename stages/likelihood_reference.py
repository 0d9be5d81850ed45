"""The likelihood terms that need no answers, from the reference answer's log-prob under pi_0 (step 5), for every seed.

Reads the seeds' files in the folder LOGPS_INITIAL. Writes the seeds' tables (schemas.Likelihood) in the folders GML,
L and UNIFORM, each of which lies in a folder with its estimator's name.
"""

import logging
from pathlib import Path

from stages._run import Out, run
from stages._settings import params
from vr.method import seed_tables
from vr.method.likelihood import reference_likelihood
from vr.settings.params import LikelihoodReference
from vr.tables import parquet, schemas


def main(logps_initial: Path, gml: Out, l: Out, uniform: Out) -> None:  # noqa: E741
    seeds = params(LikelihoodReference).seeds
    for seed in seeds:
        logps = seed_tables.read(logps_initial, schemas.Logps, [seed], ("answer_logp_sum", "answer_tokens"))
        for estimator, folder in (("gml", gml), ("l", l), ("uniform", uniform)):
            frame = reference_likelihood(logps, estimator)
            parquet.write(frame, folder / f"seed={seed}.parquet", schemas.Likelihood)
    logging.info("%d seeds: gml, l and uniform", len(seeds))


if __name__ == "__main__":
    run(main)
