"""The verdict on every answer of one seed.

Reads PROBLEMS, ANSWERS (a row group at a time). Writes VERIFICATIONS (schemas.Verifications), joined to the answers
by key. An answer that did not end with its marker is no answer.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from stages import counts, machine, run, unfinished
from vr import verify
from vr.execution import resume
from vr.tables import parquet, schemas

KEY = ("problem_id", "seed", "sample")


def main(problems: Path, answers: Path, verifications: Path) -> None:
    here = machine()
    keys = parquet.read(answers, schemas.Answers, KEY)
    judged_by = parquet.read(problems, schemas.Problems, ("problem_id", "verifier", "reference", "tests"))
    kinds = set(parquet.with_problems(keys, judged_by.select("problem_id", "verifier"))["verifier"])

    def tasks(numbers: set[int]) -> Iterator[verify.Task]:
        first = 0
        for batch in parquet.read_batches(answers, schemas.Answers, (*KEY, "text", "finish")):
            for n, row in enumerate(parquet.with_problems(batch, judged_by).iter_rows(named=True), start=first):
                if n in numbers:
                    answer = row["text"] if row["finish"] == "marker" else None
                    yield verify.Task(row["verifier"], answer, row["reference"], row["tests"])
            first += batch.height

    def judged(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
        verdicts = verify.verify(tasks(set(numbers)), kinds=kinds, total=len(numbers), **here.judging, progress=True)
        for n, verdict in zip(numbers, verdicts, strict=True):
            yield n, keys.row(n, named=True) | asdict(verdict)

    with unfinished(verifications, problems, answers) as folder:
        resume.write(folder, keys.height, judged, verifications, schemas.Verifications, shard_rows=here.shard_rows)
    outcome = parquet.read(verifications, schemas.Verifications, ("outcome",))
    logging.info("%d answers: %s", outcome.height, counts(outcome, "outcome"))


if __name__ == "__main__":
    run(main)
