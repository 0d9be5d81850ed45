"""The problems of the embedded miniature: train, dev and test questions.

Writes PROBLEMS (schemas.Problems). Every train row carries a trace and the right answer. Each problem's own solution
is judged like any answer; one that its own verifier does not accept is named.
"""

import logging
from pathlib import Path

from stages import counts, machine, params, run
from vr import verify
from vr.renderers import markers
from vr.settings.params import Problems
from vr.sources import miniature
from vr.tables import parquet, schemas


def main(problems: Path) -> None:
    p, here = params(Problems), machine()
    frame = miniature.problems(**p.model_dump())
    parquet.write(frame, problems, schemas.Problems)
    logging.info("%d problems: %s; %s", frame.height, counts(frame, "split"), counts(frame, "source"))
    rows = frame.drop_nulls("solution").select("problem_id", "verifier", "solution", "reference", "tests").rows()
    tasks = [
        verify.Task(verifier, markers.split_response(solution)[1], reference, tests)
        for _, verifier, solution, reference, tests in rows
    ]
    verdicts = verify.verify(tasks, **here.judging, progress=True)
    failed = [(row[0], v.outcome, v.detail) for row, v in zip(rows, verdicts, strict=True) if v.outcome != "correct"]
    logging.info("own solutions: %d of %d correct", len(rows) - len(failed), len(rows))
    if failed:
        logging.warning("not accepted by their own verifier: the first of %d is %s", len(failed), failed[0])


if __name__ == "__main__":
    run(main)
