"""The problems of the embedded miniature: train, dev and test questions.

Writes PROBLEMS (tables.Problems). Every train row carries a trace and the right answer.
"""

import logging
from pathlib import Path

from stages import counts, params, run
from vr import miniature, tables
from vr.params import Problems


def main(problems: Path) -> None:
    p = params(Problems)
    frame = miniature.problems(**p.model_dump())
    tables.write(frame, problems, tables.Problems)
    logging.info("%d problems: %s; %s", frame.height, counts(frame, "split"), counts(frame, "source"))


if __name__ == "__main__":
    run(main)
