"""The rows that the final model learns from (arXiv 2509.22637, App. C.3, Table 8).

    best      the trace with the highest rho of each question (17K setting, with mix)
    weighted  all K traces, each with loss weight rho~_k (1K setting, without mix)
    mix       adds the data set's own row of each question, with weight 1
    sft       the baseline's: the data set's own row of each question, as often as it has rows in the final set

A question whose rho are all 0 falls back: its own row stands in for its first trace, so every question has the same
number of rows, and initial and final training take the same number of steps.

The table is made for a block of questions at a time, so memory grows neither with the questions nor with the traces.
Not here: the weights themselves (weights.py), which ids a text has (vr/renderers).
"""

from collections.abc import Iterable, Iterator, Mapping

import dataframely as dy
import polars as pl

from vr.renderers.markers import END_SOLUTION, END_THOUGHT, join_response, split_response
from vr.renderers.renderer import Renderer
from vr.renderers.tokenizer import decode
from vr.settings.params import BuildBaseline, BuildFinal
from vr.tables.ahead import ahead
from vr.tables.keys import ByProblem
from vr.tables.schemas import Final, Likelihood, Problems, Traces, Weights
from vr.tables.vocabulary import TRACE_KEY

TRACE_COLUMNS = ("trace_ids", "trace_tokens", "thought_tokens", "text")
LIKELIHOOD_COLUMNS = ("answer_ids",)
"""What `build` needs of its tables, besides the key of traces and likelihood."""

_QUESTIONS_AT_ONCE = 256  # with K = 8 traces of 6,000 tokens and their text about 100 MB
_IDS = pl.List(pl.Int32)


def build(
    problems: Iterable[dy.DataFrame[Problems]],
    traces: Mapping[int, ByProblem[Traces]],
    likelihood: Mapping[int, ByProblem[Likelihood]],
    weights: dy.DataFrame[Weights],
    renderer: Renderer,
    settings: BuildFinal,
) -> Iterator[pl.DataFrame]:
    """schemas.Final in blocks: of each question one chosen trace or all K, then (mix) its own row.

    Args:
        problems: frames that together hold the questions of the final subset, with `renderer.PROBLEM_COLUMNS`.
        traces: for each weighed seed, with TRACE_COLUMNS.
        likelihood: for each weighed seed, with LIKELIHOOD_COLUMNS; answer_ids is null for the reference answer y*.
        weights: of all these questions: problem_id, seed, weight, chosen.

    Raises:
        ValueError: a question without weights, or a weighed trace that `traces` lacks.
    """
    selected = _selected(weights, settings.selection)

    def rows_of(references: pl.DataFrame) -> pl.DataFrame:
        of_block = _of_block(selected, references)
        rows = pl.concat(
            [
                _trace_rows(of_block.filter(~pl.col("falls_back")), traces, likelihood, references, renderer),
                _own_rows(_own_places(of_block, mix=settings.mix), references),
            ]
        )
        order = references.select("problem_id").with_row_index("question")
        return rows.join(order, on="problem_id").sort("question", "row").drop("question")

    # Texts are encoded in one thread, traces read in a second, the caller writes.
    return ahead(map(rows_of, ahead(_references(block, renderer) for block in _blocks(problems))))


def build_sft(
    problems: Iterable[dy.DataFrame[Problems]], renderer: Renderer, settings: BuildBaseline
) -> Iterator[pl.DataFrame]:
    """schemas.Final in blocks, for the baseline `sft`: of each question its own row, `rows_per_question` times.

    A question's rows stand together; training shuffles all rows in each epoch, so two of them are in one step by chance
    alone. Keys and their order are those of `build`: with one seed, each step has the same questions in both trainings.

    Args:
        problems: as for `build`.
    """
    rows = pl.DataFrame({"row": range(settings.rows_per_question)}, schema={"row": pl.Int32})
    for block in _blocks(problems):
        places = block.select("problem_id", origin=pl.lit("original"))
        places = places.join(rows, how="cross", maintain_order="left_right")
        yield _own_rows(places, _references(block, renderer))


def _selected(weights: dy.DataFrame[Weights], selection: str) -> pl.DataFrame:
    """The traces to train on: problem_id, seed, row, weight, falls_back (the question's own row replaces it)."""
    row = pl.int_range(pl.len(), dtype=pl.Int32).over("problem_id")
    no_weight = pl.col("weight").sum().over("problem_id") == 0
    traces = weights.sort(TRACE_KEY).with_columns(falls_back=no_weight & (row == 0))
    if selection == "best":
        traces = traces.filter(pl.col("chosen") | pl.col("falls_back")).with_columns(weight=pl.lit(1.0))
    return traces.select(*TRACE_KEY, "weight", "falls_back", row=row)


def _of_block(selected: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    lost = questions.join(selected, on="problem_id", how="anti", maintain_order="left")["problem_id"]
    if len(lost):
        raise ValueError(f"weights: {len(lost)} question(s) are missing, the first: {lost[0]!r}")
    return selected.join(questions, on="problem_id", how="semi")


def _blocks(problems: Iterable[dy.DataFrame[Problems]]) -> Iterator[pl.DataFrame]:
    return (block for frame in problems for block in frame.iter_slices(_QUESTIONS_AT_ONCE))


def _references(block: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """The data set's own row of each question: problem_id, own_trace_ids, own_answer_ids, solution, own_answer."""
    ids = renderer.reference_ids_batch(block.to_dicts())
    return block.select(
        "problem_id",
        "solution",
        own_answer=pl.Series([split_response(solution)[1] for solution in block["solution"]], dtype=pl.String),
        own_trace_ids=pl.Series([trace_ids for trace_ids, _ in ids], dtype=_IDS),
        own_answer_ids=pl.Series([answer_ids for _, answer_ids in ids], dtype=_IDS),
    )


def _trace_rows(
    selected: pl.DataFrame,
    traces: Mapping[int, ByProblem[Traces]],
    likelihood: Mapping[int, ByProblem[Likelihood]],
    references: pl.DataFrame,
    renderer: Renderer,
) -> pl.DataFrame:
    """The rows of sampled traces, each with its correct answer or y*."""
    found = (
        selected.join(_rows(traces, selected), on=TRACE_KEY, how="left", validate="1:1")
        .join(_rows(likelihood, selected), on=TRACE_KEY, how="left", validate="1:1")
        .join(references, on="problem_id")
    )
    if (lost := found.filter(pl.col("trace_ids").is_null())).height:
        first = lost.sort(TRACE_KEY).select(TRACE_KEY).row(0, named=True)
        raise ValueError(f"traces: a weighed trace is missing: {first}")
    answer = pl.coalesce(_answers(found["answer_ids"], renderer), "own_answer")
    return found.select(
        *("problem_id", "row", "seed", "weight"),
        origin=pl.lit("trace"),
        trace_ids=_as_pi_writes(found, renderer),
        answer_ids=pl.coalesce("answer_ids", "own_answer_ids"),
        text=pl.format(join_response("{}", "{}"), pl.col("text").str.strip_chars(), answer),
    ).select(Final.column_names())


def _as_pi_writes(found: pl.DataFrame, renderer: Renderer) -> pl.Series:
    """The ids of each trace with pi's end marker."""
    if renderer.trace_end == END_THOUGHT:
        return found["trace_ids"]  # pi's own marker already, and no need to make Python lists
    pieces = found.select("trace_ids", "thought_tokens").iter_rows()
    return pl.Series([renderer.as_reasoner_trace(ids, thought_tokens) for ids, thought_tokens in pieces], dtype=_IDS)


def _answers(answer_ids: pl.Series, renderer: Renderer) -> pl.Series:
    """The text of each sampled answer; null where there is none."""
    texts = (ids and decode(renderer.tokenizer, ids) for ids in answer_ids.to_list())
    return pl.Series([text and text.split(END_SOLUTION)[0].strip() for text in texts], dtype=pl.String)


def _own_places(selected: pl.DataFrame, *, mix: bool) -> pl.DataFrame:
    """Where the data set's own rows stand: problem_id, row, origin; with `mix` also as each question's last row."""
    places = selected.filter("falls_back").select("problem_id", "row", origin=pl.lit("fallback"))
    if not mix:
        return places
    last = selected.group_by("problem_id").agg(row=pl.len().cast(pl.Int32))
    return pl.concat([places, last.with_columns(origin=pl.lit("original"))])


def _own_rows(places: pl.DataFrame, references: pl.DataFrame) -> pl.DataFrame:
    """The data set's own rows at these places."""
    return (
        places.join(references, on="problem_id", maintain_order="left")
        .rename({"own_trace_ids": "trace_ids", "own_answer_ids": "answer_ids", "solution": "text"})
        .with_columns(seed=pl.lit(None, dtype=pl.Int32), weight=pl.lit(1.0))
        .select(Final.column_names())
    )


def _rows(table_of: Mapping[int, ByProblem], keys: pl.DataFrame) -> pl.DataFrame:
    """The rows of these traces, each out of its seed's table."""
    found = [table.rows(keys.filter(seed=seed)["problem_id"].to_list()) for seed, table in table_of.items()]
    return pl.concat(found).join(keys, on=TRACE_KEY, how="semi")
