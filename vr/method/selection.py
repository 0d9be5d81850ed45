"""The rows that the final model learns from (arXiv 2509.22637, App. C.3, Table 8).

    best      the trace with the highest rho of each question (17K setting, with mix)
    weighted  all K traces, each with loss weight rho~_k (1K setting, without mix)
    mix       adds the data set's own row of each question, with weight 1

A question whose rho are all 0 falls back to its own row, which takes the place of its (first) trace: so every
question has the same number of rows, and initial and final training take the same number of steps.

The table is made for a block of questions at a time: memory grows neither with the questions nor with the traces.
"""

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from vr.method.weights import KEY
from vr.renderers.markers import END_SOLUTION, END_THOUGHT, join_response, split_response
from vr.renderers.renderer import Renderer
from vr.tables.parquet import ByProblem
from vr.tables.schemas import Final

QUESTIONS_AT_ONCE = 256  # with K = 8 traces of 6,000 tokens and their text some 100 MB

Reference = tuple[str, list[int]]
"""y* of a question: its text, and its ids with the end marker."""

_IDS = pl.List(pl.Int32)


def build(
    problems: Iterable[pl.DataFrame],
    traces: Mapping[int, ByProblem],
    likelihood: Mapping[int, ByProblem],
    weights: pl.DataFrame,
    *,
    coder: Renderer,
    template: str,
    selection: str,
    mix: bool,
) -> Iterator[pl.DataFrame]:
    """tables.Final in pieces: for each question one chosen trace or all K, then (mix) its own row.

    Args:
        problems: frames that together hold the Q train rows: problem_id, solution.
        traces: for each weighed seed: problem_id, seed, trace_ids, thought_tokens, text.
        likelihood: for each weighed seed: problem_id, seed, answer_ids (null: the reference answer y*).
        weights: tables.Weights, Q*K rows.

    Raises:
        ValueError: a question without weights, or a weighed trace that is not in `traces`.
    """
    wanted = _wanted(weights, selection)
    for frame in problems:
        for block in frame.iter_slices(QUESTIONS_AT_ONCE):
            lost = block.join(wanted, on="problem_id", how="anti", maintain_order="left")["problem_id"]
            if len(lost):
                raise ValueError(f"weights: {len(lost)} question(s) are missing, the first: {lost[0]!r}")
            of_block = wanted.join(block, on="problem_id", how="semi")
            references = _references(block, coder)
            rows = [
                _trace_rows(of_block, traces, likelihood, references, coder, template),
                _own_rows(of_block, block, references, coder, mix),
            ]
            order = block.select("problem_id").with_row_index("question")
            yield (
                pl.concat(frame.select(Final.column_names()) for frame in rows)
                .join(order, on="problem_id")
                .sort("question", "row")
                .drop("question")
            )


def _wanted(weights: pl.DataFrame, selection: str) -> pl.DataFrame:
    """The traces that are trained on: problem_id, seed, row, weight, falls_back (its place is the own row's)."""
    row = pl.int_range(pl.len(), dtype=pl.Int32).over("problem_id")
    without = pl.col("weight").sum().over("problem_id") == 0
    wanted = weights.sort(KEY).with_columns(falls_back=without & (row == 0))
    if selection == "best":
        wanted = wanted.filter(pl.col("chosen") | pl.col("falls_back")).with_columns(weight=pl.lit(1.0))
    return wanted.select(*KEY, "weight", "falls_back", row=row)


def _trace_rows(
    wanted: pl.DataFrame,
    traces: Mapping[int, ByProblem],
    likelihood: Mapping[int, ByProblem],
    references: Mapping[str, Reference],
    coder: Renderer,
    template: str,
) -> pl.DataFrame:
    """The rows of sampled traces, each with its correct answer or y*."""
    found = wanted.join(_rows(traces, wanted), on=KEY, how="left", validate="1:1").join(
        _rows(likelihood, wanted), on=KEY, how="left", validate="1:1"
    )
    if (lost := found.filter(pl.col("trace_ids").is_null())).height:
        raise ValueError(f"traces: a weighed trace is missing: {lost.sort(KEY).select(KEY).row(0, named=True)}")
    found = found.filter(~pl.col("falls_back"))
    if template != "B":  # B's ids are as pi writes them, and never become Python's
        pieces = found.select("trace_ids", "thought_tokens").iter_rows()
        written = [coder.reasoner_trace(ids, thought_tokens, template) for ids, thought_tokens in pieces]
        found = found.with_columns(trace_ids=pl.Series(written, dtype=_IDS))
    answers, texts = [], []
    for problem_id, thought, sampled in found.select("problem_id", "text", "answer_ids").iter_rows():
        answer, ids = references[problem_id]
        if sampled is not None:
            answer, ids = coder.decode(sampled).removesuffix(END_SOLUTION), sampled
        answers.append(ids)
        texts.append(join_response(thought, answer))
    return found.with_columns(
        origin=pl.lit("trace"), answer_ids=pl.Series(answers, dtype=_IDS), text=pl.Series(texts, dtype=pl.String)
    )


def _own_rows(
    wanted: pl.DataFrame, block: pl.DataFrame, references: Mapping[str, Reference], coder: Renderer, mix: bool
) -> pl.DataFrame:
    """The data set's own rows: in place of a trace where the question falls back, and with `mix` as its last row."""
    places = wanted.filter("falls_back").select("problem_id", "row", origin=pl.lit("fallback"))
    if mix:
        last = wanted.group_by("problem_id").agg(row=pl.len().cast(pl.Int32))
        places = pl.concat([places, last.with_columns(origin=pl.lit("original"))])
    own = block.join(places, on="problem_id", how="semi").select("problem_id", text="solution")
    trace_ids = [coder.ended(split_response(solution)[0], END_THOUGHT) for solution in own["text"]]
    answer_ids = [references[problem_id][1] for problem_id in own["problem_id"]]
    own = own.with_columns(
        seed=pl.lit(None, dtype=pl.Int32),
        weight=pl.lit(1.0),
        trace_ids=pl.Series(trace_ids, dtype=_IDS),
        answer_ids=pl.Series(answer_ids, dtype=_IDS),
    )
    return places.join(own, on="problem_id")


def _references(block: pl.DataFrame, coder: Renderer) -> dict[str, Reference]:
    answers = (
        (problem_id, split_response(solution)[1])
        for problem_id, solution in block.select("problem_id", "solution").iter_rows()
    )
    return {problem_id: (answer, coder.ended(answer, END_SOLUTION)) for problem_id, answer in answers}


def _rows(table_of: Mapping[int, ByProblem], keys: pl.DataFrame) -> pl.DataFrame:
    """The rows of these keys, each out of its seed's table."""
    by_seed = keys.partition_by("seed", as_dict=True)
    found = (table_of[seed].rows(of_seed["problem_id"].to_list()) for (seed,), of_seed in by_seed.items())
    return pl.concat(found).join(keys, on=KEY, how="semi")
