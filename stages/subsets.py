"""Which questions train what (App. F.4).

Reads PROBLEMS. Writes INITIAL (the questions that pi_0 and q learn from) and FINAL (the questions whose traces are
sampled, weighed and learnt from by the final model), both schemas.Subset.
"""

import logging
from pathlib import Path

from stages._run import Out, run
from stages._settings import params
from vr.method import subsets
from vr.settings.params import Subsets
from vr.tables import parquet, schemas


def main(problems: Path, initial: Out, final: Out) -> None:
    p = params(Subsets)
    all_ids = parquet.read(problems, schemas.Problems, ("problem_id",))
    of_final = subsets.final_subset(all_ids, p.final.size, p.final.seed)
    of_initial = subsets.initial_subset(all_ids, of_final, p.disjoint)
    parquet.write(of_initial, initial, schemas.Subset)
    parquet.write(of_final, final, schemas.Subset)
    logging.info("of %d questions: initial %d, final %d", all_ids.height, of_initial.height, of_final.height)


if __name__ == "__main__":
    run(main)
