"""The report as files."""

import json
from pathlib import Path

import polars as pl

from vr.report.write import Places, Traces, write
from vr.settings.params import Report


def evals(outcome: str) -> pl.DataFrame:
    row = {"problem_id": "a", "verifier": "math", "sample": 0, "outcome": outcome, "response_tokens": 9}
    return pl.DataFrame([row | {"judged": "box", "finish": "marker"}])


def test_the_report_is_headlines_details_and_plots(tmp_path: Path):
    weights = pl.DataFrame({"problem_id": ["a"], "seed": [0], "log_ratio": [-1.0], "log_ratio_total": [-5.0],
                            "weight": [1.0], "reason": [""]})  # fmt: skip
    logps = pl.DataFrame({"problem_id": ["a"], "seed": [0], "trace_tokens": [5], "answer_tokens": [3]})
    total, per_token = (logps.with_columns(log_likelihood=pl.lit(value)) for value in (-6.0, -2.0))
    places = Places(tmp_path / "metrics.json", tmp_path / "details.json", tmp_path / "plots" / "report")
    places.plots.mkdir(parents=True)
    (places.plots / "of_an_earlier_version.csv").write_text("x\n1\n")
    evaluated = {("initial", "b"): evals("wrong"), ("final", "b"): evals("correct")}
    traces = Traces(weights, logps, total=total, per_token=per_token)
    headlines = write(evaluated, traces, Report(pass_at=[1], bootstrap=100, seed=0), places)
    assert json.loads(places.metrics.read_text()) == headlines
    assert headlines["b"]["final_minus_initial"]["avg_at_n"] == 1.0
    details = json.loads(places.details.read_text())
    assert details["evals"]["b"]["final"]["judged_part"] == {"box": 1}
    assert details["weights"]["questions"] == 1
    assert details["figure_4"]["plotted"] == 1
    assert {path.name for path in places.plots.iterdir()} == {
        "pass_at_k.csv", "pass_at_k.svg", "traces.csv", "effective_sample_size.csv",
    }  # fmt: skip
    assert pl.read_csv(places.plots / "traces.csv")["log_ratio_total"].to_list() == [-5.0]
