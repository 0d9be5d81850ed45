"""The verdict on every answer of one seed.

Reads PROBLEMS, ANSWERS. Writes VERIFICATIONS (tables.Verifications), joined to the answers by key.
An answer that did not end with its marker is no answer.
"""

import logging
from dataclasses import asdict
from pathlib import Path

import polars as pl

from stages import counts, machine, run
from vr import tables, verify


def main(problems: Path, answers: Path, verifications: Path) -> None:
    key = ["problem_id", "seed", "sample"]
    rows = tables.read(answers, tables.Answers, (*key, "text", "finish")).join(
        tables.read(problems, tables.Problems, ("problem_id", "verifier", "reference", "tests")),
        on="problem_id",
        how="left",
        validate="m:1",
    )
    if lost := rows.filter(pl.col("verifier").is_null())["problem_id"].to_list():
        raise ValueError(f"{problems}: problem_id {lost[0]!r} of {answers} is missing")
    tasks = [
        verify.Task(
            verifier=row["verifier"],
            answer=row["text"] if row["finish"] == "marker" else None,
            reference=row["reference"],
            tests=row["tests"],
        )
        for row in rows.iter_rows(named=True)
    ]
    here = machine()
    verdicts = verify.verify(
        tasks, workers=here.verify_workers, allow_unsafe=here.allow_unsafe_execution, progress=True
    )
    frame = pl.DataFrame(
        {**dict(zip(key, keys, strict=True)), **asdict(verdict)}
        for keys, verdict in zip(rows.select(key).iter_rows(), verdicts, strict=True)
    )
    tables.write(frame, verifications, tables.Verifications)
    logging.info("%d answers: %s", frame.height, counts(frame, "outcome"))


if __name__ == "__main__":
    run(main)
