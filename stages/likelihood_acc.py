"""The likelihood term of the acc estimator, log acc_k, for one seed, and a correct answer for each trace (step 5).

Reads TRACES, ANSWERS, VERIFICATIONS. Writes LIKELIHOOD (schemas.Likelihood).
"""

import logging
from pathlib import Path

from stages._run import Out, counts, run
from stages._settings import params
from vr.method import unjudged
from vr.method.likelihood import accuracy
from vr.settings.params import LikelihoodAcc
from vr.tables import parquet, schemas
from vr.tables.vocabulary import ANSWER_KEY, TRACE_KEY


def main(traces: Path, answers: Path, verifications: Path, likelihood: Out) -> None:
    verdicts = parquet.read(verifications, schemas.Verifications, (*ANSWER_KEY, "outcome"))
    frame = accuracy(
        parquet.read(traces, schemas.Traces, (*TRACE_KEY, "finish")),
        verdicts,
        parquet.read(answers, schemas.Answers, (*ANSWER_KEY, "answer_ids")),
        params(LikelihoodAcc).seed,
    )
    parquet.write(frame, likelihood, schemas.Likelihood)
    answered = unjudged.score_in_words(unjudged.tally(verdicts, TRACE_KEY))
    logging.info("%d traces: %s; answers: %s", frame.height, counts(frame, "reason"), answered)


if __name__ == "__main__":
    run(main)
