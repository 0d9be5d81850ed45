"""The data of the figures, with values worked out by hand."""

import polars as pl
import pytest

from vr.report import figures


def weights(*log_ratios_total: float | None) -> pl.DataFrame:
    """Of the traces of seeds 0, 1, ... of question a; per token a tenth of the total."""
    totals = pl.Series("log_ratio_total", log_ratios_total, pl.Float64)
    return pl.DataFrame({"problem_id": "a", "seed": range(len(totals)), "log_ratio_total": totals}).with_columns(
        log_ratio=pl.col("log_ratio_total") / 10, weight=pl.lit(0.5)
    )


def traces(log_ratios_total: list[float | None], rows: list[tuple[int, int, float | None]]) -> figures.Traces:
    """Of the same traces, the last first: (trace_tokens, answer_tokens, log-likelihood of the answer)."""
    frame = pl.DataFrame(rows, ["trace_tokens", "answer_tokens", "log_likelihood"], orient="row")
    frame = frame.with_columns(problem_id=pl.lit("a"), seed=pl.int_range(pl.len())).reverse()
    per_token = frame.with_columns(pl.col("log_likelihood") / pl.col("answer_tokens"))
    return figures.Traces(weights(*log_ratios_total), frame, total=frame, per_token=per_token)


def test_trace_points_join_tables_by_key_and_hold_totals_and_values_per_token():
    # trace 0: y* of 2 tokens with -2 in all, -1 a token; trace 1: 3 tokens, -6, -2
    points, _ = figures.trace_points(traces([-10.0, -20.0], [(9, 2, -2.0), (5, 3, -6.0)]), seed=0)
    assert points.columns == [
        "problem_id", "seed", "trace_tokens", "log_ratio_total", "log_ratio",
        "answer_tokens", "answer_log_likelihood_total", "answer_log_likelihood", "weight",
    ]  # fmt: skip
    assert points.drop("problem_id").rows() == [
        (0, 9, -10.0, -1.0, 2, -2.0, -1.0, 0.5),
        (1, 5, -20.0, -2.0, 3, -6.0, -2.0, 0.5),
    ]


def test_traces_without_log_ratio_or_answer_likelihood_are_left_out_and_counted():
    of = traces([-10.0, -20.0, None, None], [(9, 2, -2.0), (5, 3, None), (7, 3, -1.0), (7, 3, None)])
    points, counts = figures.trace_points(of, seed=0)
    assert points["seed"].to_list() == [0]
    assert counts == {
        "traces": 4, "plotted": 1, "without_log_ratio": 2, "without_answer_log_likelihood": 1, "not_drawn": 0,
    }  # fmt: skip


def test_of_many_traces_some_are_drawn_and_the_others_counted(monkeypatch):
    monkeypatch.setattr(figures, "MAX_POINTS", 2)
    points, counts = figures.trace_points(traces([-1.0] * 5, [(5, 3, -1.0)] * 5), seed=0)
    assert points.height == 2
    assert (counts["plotted"], counts["not_drawn"]) == (2, 3)


def test_a_weighed_trace_without_lengths_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"logps of the initial model: 1 weighed trace.*'problem_id': 'a', 'seed': 1"):
        figures.trace_points(traces([-1.0, -1.0], [(5, 3, -1.0)]), seed=0)


def test_the_histogram_counts_every_question_once():
    # sizes 4 (uniform), 1 (one trace) and 0 (none), in bins of width 4/4
    frame = pl.DataFrame(
        {"problem_id": ["a"] * 4 + ["b"] * 4 + ["c"] * 4, "seed": [0, 1, 2, 3] * 3,
         "weight": [0.25] * 4 + [1.0, 0.0, 0.0, 0.0] + [0.0] * 4}
    )  # fmt: skip
    found = figures.ess_histogram(frame, bins=4)
    assert found["questions"].to_list() == [1, 1, 0, 1]
    assert found["effective_sample_size"].to_list() == [0.5, 1.5, 2.5, 3.5]


def test_pass_at_k_points_are_one_row_per_model_and_k():
    found = {"b": {"final": {"pass_at_k": {"1": 0.5, "2": 0.75}}, "final_minus_initial": {"avg_at_n": 0.1}}}
    assert figures.pass_at_k_points(found).rows() == [("b", "final", 1, 0.5), ("b", "final", 2, 0.75)]
