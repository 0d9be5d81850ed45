"""The verdict on every answer of one seed.

Reads PROBLEMS, ANSWERS. Writes VERIFICATIONS (schemas.Verifications), joined to the answers by key.
An answer that did not end with its marker is no answer. Where the checker itself fails on more than 1 % of the answers
the stage is an error; the next run judges those again, and no others.
"""

import logging
from pathlib import Path

from stages._run import Out, counts, run, work_folder
from stages._settings import machine
from vr.execution import resume
from vr.method import judging
from vr.tables import keys, parquet, schemas
from vr.tables.vocabulary import ANSWER_KEY


def main(problems: Path, answers: Path, verifications: Out) -> None:
    how = machine()
    judged_by = parquet.read(problems, schemas.Problems, ("problem_id", *judging.QUESTION))
    texts = parquet.read(answers, schemas.Answers, (*ANSWER_KEY, "text", "finish"))
    asked = keys.with_problems(texts, judged_by)
    with work_folder(verifications, problems, answers) as folder:
        resume.write(
            folder,
            asked.height,
            lambda indices: judging.answers(asked, indices, how),
            verifications,
            schemas.Verifications,
            shard_rows=how.shard_rows,
        )
    outcome = parquet.read(verifications, schemas.Verifications, ("outcome",))
    logging.info("%d answers: %s", outcome.height, counts(outcome, "outcome"))


if __name__ == "__main__":
    run(main)
