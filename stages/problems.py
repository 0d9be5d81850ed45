"""The training questions of all sources that params.yaml names, mixed.

Writes PROBLEMS (schemas.Problems): every row carries a trace, the right answer, and the verdict of its own verifier on
that answer; and LEFT_OUT (schemas.LeftOut): the rows that are no training question, with the reason.
"""

import logging

from stages._run import Out, counts, run
from stages._settings import machine, params
from vr.method import judging
from vr.settings.params import Problems
from vr.sources import problems as sources
from vr.tables import parquet, schemas


def main(problems: Out, left_out: Out) -> None:
    loaded = sources.load(params(Problems))
    logging.info("%d problems: %s", loaded.problems.height, counts(loaded.problems, "source"))
    logging.info("%d rows left out: %s", loaded.left_out.height, counts(loaded.left_out, "source") or "none")
    checked = judging.self_check(loaded.problems, machine())
    frame = loaded.problems.join(
        checked.select("problem_id", self_check="outcome"), on="problem_id", how="left", maintain_order="left"
    )
    parquet.write(frame, problems, schemas.Problems)
    parquet.write(loaded.left_out, left_out, schemas.LeftOut)
    judging.log_self_check(checked)
    for (source,), rows in frame.group_by("source", maintain_order=True):
        logging.info("own solutions of %s: %s", source, counts(rows, "self_check"))


if __name__ == "__main__":
    run(main)
