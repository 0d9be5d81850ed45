"""Metrics, plot data and the printed table."""

import polars as pl

from vr.report import metrics


def evals(outcomes: dict[str, list[str]], verifier: str = "math") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"benchmark": "b", "problem_id": q, "verifier": verifier, "sample": i, "outcome": o, "response_tokens": 9}
            for q, of_question in outcomes.items()
            for i, o in enumerate(of_question)
        ]
    )


RIGHT, WRONG = "correct", "wrong"


def test_metrics_hold_each_model_of_each_benchmark_by_kind_and_the_gain():
    initial = pl.concat([evals({"a": [RIGHT, WRONG]}), evals({"p": [WRONG, WRONG]}, "call")])
    final = pl.concat([evals({"a": [RIGHT, RIGHT]}), evals({"p": [RIGHT, WRONG]}, "call")])
    found = metrics.metrics({"initial": initial, "final": final}, pass_at=[1, 2, 4], bootstrap=200, seed=0)["b"]
    assert found["initial"]["avg_at_n"] == 0.25
    assert found["final"]["avg_at_n"] == 0.75
    assert found["final"]["by_kind"]["call"]["avg_at_n"] == 0.5
    assert found["final"]["pass_at_k"] == {"1": 0.75, "2": 1.0}  # k = 4 is more than n = 2
    assert found["final_minus_initial"]["avg_at_n"] == 0.5


def test_the_table_shows_percent_with_intervals_and_a_signed_gain():
    found = metrics.metrics(
        {"initial": evals({"a": [WRONG]}), "final": evals({"a": [RIGHT]})}, pass_at=[1], bootstrap=200, seed=0
    )
    lines = metrics.table_text(found).splitlines()
    assert "| b         | initial             | 0.0    | 0.0 to 0.0" in lines[2]
    assert "| +100.0 | +100.0 to +100.0 |" in lines[4]


def test_a_model_of_which_nothing_was_judged_is_shown_as_such():
    found = metrics.metrics({"base": evals({"a": ["timeout"]})}, pass_at=[1], bootstrap=200, seed=0)
    assert "not judged" in metrics.table_text(found)


def test_trace_points_join_weights_and_log_probs_by_key():
    weights = pl.DataFrame({"problem_id": ["a", "a"], "seed": [0, 1], "log_ratio": [-1.0, -2.0], "weight": [0.7, 0.3]})
    logps = pl.DataFrame(
        {"problem_id": ["a", "a"], "seed": [1, 0], "trace_tokens": [5, 9], "answer_logp_sum": [-6.0, -2.0],
         "answer_tokens": [3, 2]}
    )  # fmt: skip
    points = metrics.trace_points(weights, logps, seed=0)
    assert points.select("seed", "trace_tokens", "log_ratio", "answer_log_likelihood").rows() == [
        (0, 9, -1.0, -1.0),
        (1, 5, -2.0, -2.0),
    ]


def test_the_histogram_counts_every_question_once():
    # sizes 4 (uniform), 1 (one trace) and 0 (none), in bins of width 4/4
    weights = pl.DataFrame(
        {"problem_id": ["a"] * 4 + ["b"] * 4 + ["c"] * 4, "seed": [0, 1, 2, 3] * 3,
         "weight": [0.25] * 4 + [1.0, 0.0, 0.0, 0.0] + [0.0] * 4}
    )  # fmt: skip
    found = metrics.ess_histogram(weights, bins=4)
    assert found["questions"].to_list() == [1, 1, 0, 1]
    assert found["effective_sample_size"].to_list() == [0.5, 1.5, 2.5, 3.5]


def test_pass_at_k_points_are_one_row_per_model_and_k():
    found = {"b": {"final": {"pass_at_k": {"1": 0.5, "2": 0.75}}, "final_minus_initial": {"avg_at_n": 0.1}}}
    assert metrics.pass_at_k_points(found).rows() == [("b", "final", 1, 0.5), ("b", "final", 2, 0.75)]
