"""One question of a run with its K traces and their weights, as text for a terminal.

`python -m vr.report.example PROBLEMS TRACES WEIGHTS`, TRACES being the folder of the seeds' tables. The question is
the first one on which the weights decide something: some trace has no weight, and at least two have some.
"""

import argparse
import sys
from pathlib import Path

import dataframely as dy
import polars as pl

from vr.method import seed_tables
from vr.tables import parquet, schemas
from vr.tables.schemas import Problems, Traces, Weights
from vr.tables.vocabulary import TRACE_KEY
from vr.verify.printable import visible

_WIDTH = 100  # characters of a line of a trace


def question_text(
    problems: dy.DataFrame[Problems], traces: dy.DataFrame[Traces], weights: dy.DataFrame[Weights]
) -> str:
    """The question, its reference, and a block for each trace; the chosen one has a star. No control characters.

    Args:
        problems: problem_id, question, reference.
        traces: of the weighed seeds: problem_id, seed, text.
        weights: of all weighed traces.
    """
    problem_id = _telling_question(weights)
    problem = problems.filter(problem_id=problem_id).row(0, named=True)
    rows = weights.filter(problem_id=problem_id).join(traces, on=TRACE_KEY, validate="1:1").sort("seed")
    reference = f" (answer: {problem['reference']})" if problem["reference"] else ""
    question = "\n".join(map(visible, f"{problem['question']}{reference}".splitlines()))
    return "\n".join([question, *(_trace(row) for row in rows.iter_rows(named=True))])


def _telling_question(weights: dy.DataFrame[Weights]) -> str:
    weight = pl.col("weight")
    decided = weights.group_by("problem_id", maintain_order=True).agg(
        (weight == 0).any().alias("some_without"), (weight > 0).sum().alias("n_with")
    )
    telling = decided.filter(pl.col("some_without") & (pl.col("n_with") > 1))
    return str((telling if telling.height else decided)["problem_id"][0])


def _trace(row: dict[str, object]) -> str:
    """One trace under a line with its numbers."""
    numbers = (("log ratio", row["log_ratio"]), ("log likelihood", row["log_likelihood"]))
    shown = [f"{name} {value:+.3f}" for name, value in numbers if isinstance(value, float)]
    why = [str(row["reason"]).replace("_", " ")] if row["reason"] else []
    lines = [visible(line[:_WIDTH])[:_WIDTH] for line in str(row["text"]).strip().splitlines() if line.strip()]
    star = "*" if row["chosen"] else " "
    head = f"{star} seed {row['seed']}  weight {row['weight']:.3f}   {', '.join([*shown, *why])}"
    return "\n".join([head, *(f"      {line}" for line in lines)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vr.report.example", description=__doc__.splitlines()[0])
    for name, what in (("problems", "table"), ("traces", "folder of the seeds' tables"), ("weights", "table")):
        parser.add_argument(name, type=Path, metavar=name.upper(), help=what)
    paths = parser.parse_args()
    try:
        weights = parquet.read(paths.weights, schemas.Weights)
        seeds = weights["seed"].unique().sort().to_list()
        problems = parquet.read(paths.problems, schemas.Problems, ("problem_id", "question", "reference"))
        traces = seed_tables.read(paths.traces, schemas.Traces, seeds, ("text",))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(question_text(problems, traces, weights))


if __name__ == "__main__":
    main()
