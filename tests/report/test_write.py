"""The report as files."""

import json
from pathlib import Path

import polars as pl
import pytest

from vr.report.metrics import Headlines
from vr.report.write import Places, Traces, write
from vr.settings.params import Report


def evals(outcome: str) -> pl.DataFrame:
    row = {"problem_id": "a", "verifier": "math", "sample": 0, "outcome": outcome, "response_tokens": 9}
    return pl.DataFrame([row | {"judged": "box", "finish": "marker"}])


def places(folder: Path) -> Places:
    return Places(folder / "metrics.json", folder / "details.json", folder / "plots" / "report")


def write_one_trace(where: Places, *, initial: str = "wrong", final: str = "correct") -> Headlines:
    """The report of one weighed trace and one question, with these outcomes."""
    weights = pl.DataFrame({"problem_id": ["a"], "seed": [0], "log_ratio": [-1.0], "log_ratio_total": [-5.0],
                            "weight": [1.0], "reason": [""]})  # fmt: skip
    logps = pl.DataFrame({"problem_id": ["a"], "seed": [0], "trace_tokens": [5], "answer_tokens": [3]})
    total, per_token = (logps.with_columns(log_likelihood=pl.lit(value)) for value in (-6.0, -2.0))
    evaluated = {("initial", "b"): evals(initial), ("final", "b"): evals(final)}
    traces = Traces(weights, logps, total=total, per_token=per_token)
    benchmarks = {"b": {"source": {"sums": 1}, "questions": 1, "equal": 1, "overlapping": 0}}
    return write(evaluated, traces, benchmarks, Report(pass_at=[1], bootstrap=100, seed=0), where)


def test_the_report_is_headlines_details_and_plots(tmp_path: Path):
    where = places(tmp_path)
    where.plots.mkdir(parents=True)
    (where.plots / "of_an_earlier_version.csv").write_text("x\n1\n")
    headlines = write_one_trace(where)
    assert json.loads(where.metrics.read_text()) == headlines
    assert headlines["b"]["final_minus_initial"]["avg_at_n"] == 1.0
    details = json.loads(where.details.read_text())
    assert details["evals"]["b"]["final"]["judged_part"] == {"box": 1}
    assert details["weights"]["questions"] == 1
    assert details["figure_4"]["plotted"] == 1
    assert details["benchmarks"]["b"]["equal"] == 1
    assert {path.name for path in where.plots.iterdir()} == {
        "pass_at_k.csv", "pass_at_k.svg", "traces.csv", "effective_sample_size.csv",
    }  # fmt: skip
    assert pl.read_csv(where.plots / "traces.csv")["log_ratio_total"].to_list() == [-5.0]


def test_a_disk_that_fills_leaves_the_whole_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    where = places(tmp_path)
    write_one_trace(where)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_text = Path.write_text

    def full(path: Path, text: str) -> int:
        if path.name == "traces.csv":
            raise OSError(28, "No space left on device")
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError) as error:
        write_one_trace(where, initial="correct")
    all_of_it = f"{where.metrics}, {where.details} and {where.plots}"
    assert str(error.value) == f"{all_of_it}: cannot be written: [Errno 28] No space left on device"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_report_of_models_that_were_not_to_be_judged_holds_no_nan(tmp_path: Path):
    where = places(tmp_path)
    assert write_one_trace(where, initial="not_run", final="not_run")["b"]["final"] == {"questions": 1}
    assert "NaN" not in where.metrics.read_text() + where.details.read_text()
    assert "NaN" not in (where.plots / "pass_at_k.svg").read_text()
