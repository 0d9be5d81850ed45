"""The training questions of the embedded miniature.

Writes PROBLEMS (schemas.Problems): every row carries a trace and the right answer. Each problem's own solution is
judged like any answer; a problem that its own verifier does not accept is named.
"""

import logging

from stages._run import Out, counts, run
from stages._settings import machine, params
from vr.method import judging
from vr.settings.params import Problems
from vr.sources import miniature
from vr.tables import parquet, schemas


def main(problems: Out) -> None:
    frame = miniature.problems(params(Problems))
    parquet.write(frame, problems, schemas.Problems)
    logging.info("%d problems: %s", frame.height, counts(frame, "source"))
    judging.log_self_check(judging.self_check(frame, machine()))


if __name__ == "__main__":
    run(main)
