"""The rows that the final model learns from (arXiv 2509.22637, App. C.3, Table 8).

    best      the trace with the highest rho of each question (17K setting, with mix)
    weighted  all K traces, each with loss weight rho~_k (1K setting, without mix)
    mix       adds the data set's own row of each question, with weight 1

A question whose rho are all 0 falls back to its own row, which takes the place of its (first) trace: so every
question has the same number of rows, and initial and final training take the same number of steps.
"""

import polars as pl

from vr.prompts import END_SOLUTION, END_THOUGHT, join_response, split_response
from vr.tokens import Coder
from vr.weights import KEY


def build(
    problems: pl.DataFrame,
    traces: pl.DataFrame,
    likelihood: pl.DataFrame,
    weights: pl.DataFrame,
    *,
    coder: Coder,
    template: str,
    selection: str,
    mix: bool,
) -> pl.DataFrame:
    """tables.Final: for each question one chosen trace or all K, then (mix) its own row.

    Args:
        problems: Q train rows: problem_id, solution.
        traces: problem_id, seed, trace_ids, thought_tokens, text (at least those with a row in `weights`).
        likelihood: problem_id, seed, answer_ids (null: the reference answer y*).
        weights: tables.Weights, Q*K rows.

    Raises:
        ValueError: a question without weights, or a weighed trace that is not in `traces`.
    """
    if lost := problems.join(weights, on="problem_id", how="anti")["problem_id"].to_list():
        raise ValueError(f"weights: {len(lost)} question(s) are missing, the first: {lost[0]!r}")
    fallback = pl.col("weight").sum().over("problem_id") == 0
    first = pl.int_range(pl.len()).over("problem_id") == 0
    wanted = weights.sort(KEY).with_columns(falls_back=fallback & first)
    if selection == "best":
        wanted = wanted.filter(pl.col("chosen") | pl.col("falls_back")).with_columns(weight=pl.lit(1.0))
    wanted = (
        wanted.select(*KEY, "weight", "falls_back")
        .join(traces.select(*KEY, "trace_ids", "thought_tokens", "text"), on=KEY, how="left", validate="1:1")
        .join(likelihood.select(*KEY, "answer_ids"), on=KEY, how="left", validate="1:1")
    )
    if (lost_rows := wanted.filter(pl.col("trace_ids").is_null())).height:
        raise ValueError(f"traces: a weighed trace is missing: {lost_rows.select(KEY).row(0, named=True)}")
    rows_of = wanted.sort(KEY).partition_by("problem_id", as_dict=True)
    rows = []
    for problem_id, solution in problems.select("problem_id", "solution").iter_rows():
        thought, answer = split_response(solution)
        own = {
            "seed": None,
            "weight": 1.0,
            "trace_ids": coder.ended(thought, END_THOUGHT),
            "answer_ids": coder.ended(answer, END_SOLUTION),
            "text": solution,
        }
        of_problem = []
        for row in rows_of[(problem_id,)].iter_rows(named=True):
            if row["falls_back"]:
                of_problem.append(own | {"origin": "fallback"})
                continue
            sampled = row["answer_ids"]
            of_problem.append(
                {
                    "seed": row["seed"],
                    "origin": "trace",
                    "weight": row["weight"],
                    "trace_ids": coder.reasoner_trace(row["trace_ids"], row["thought_tokens"], template),
                    "answer_ids": own["answer_ids"] if sampled is None else sampled,
                    "text": join_response(
                        row["text"],
                        answer if sampled is None else coder.decode(sampled).removesuffix(END_SOLUTION),
                    ),
                }
            )
        if mix:
            of_problem.append(own | {"origin": "original"})
        rows += [{"problem_id": problem_id, "row": i, **fields} for i, fields in enumerate(of_problem)]
    return pl.DataFrame(
        rows,
        schema_overrides={"seed": pl.Int32, "trace_ids": pl.List(pl.Int32), "answer_ids": pl.List(pl.Int32)},
        infer_schema_length=None,
    )
