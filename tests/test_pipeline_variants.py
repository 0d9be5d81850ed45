"""The real pipeline in other settings than the default: subsets, traces of pi_0, template A, the sampler's log-probs.

One copy of the project with tiny parameters serves all tests here, each of which goes on from the one before.
"""

import polars as pl
import pytest

from vr.renderers import markers, tokenizer
from vr.tables import schemas
from vr.tables.vocabulary import TRACE_KEY

pytestmark = pytest.mark.slow


def test_a_smaller_subset_is_sampled_scored_and_learnt_from_alone(workspace):
    changes = ["subsets.final.size=16", "subsets.disjoint=true", "estimator=gml", "seeds=[0]", "K=1"]
    ran = workspace.stages_run("dvc", "exp", "run", "build_final", *(p for change in changes for p in ("-S", change)))
    assert {"subsets", "train_initial", "train_posterior", "sample_traces@posterior-0", "build_final"} <= ran
    names = ("subsets/initial", "subsets/final", "traces/posterior/seed=0", "logps/initial/posterior/seed=0", "final")
    ids = {name: set(pl.read_parquet(workspace.path / f"data/{name}.parquet")["problem_id"]) for name in names}
    assert len(ids["subsets/final"]) == 16 and len(ids["subsets/initial"]) == 64 - 16
    assert not ids["subsets/initial"] & ids["subsets/final"]
    assert all(ids[name] == ids["subsets/final"] for name in names[1:])
    statistics = pl.read_csv(workspace.path / "data" / "training" / "initial.csv").row(0, named=True)
    assert statistics["rows"] == 64 - 16


def test_traces_of_the_initial_model_have_a_log_ratio_of_zero_and_lie_beside_the_others(workspace):
    changes = ["proposal=initial", "estimator=uniform", "seeds=[0,1]", "K=2", "subsets.disjoint=false"]
    changes.append("subsets.final.size=all")
    ran = workspace.stages_run("dvc", "exp", "run", "weigh", *(p for change in changes for p in ("-S", change)))
    assert "train_posterior" not in ran
    assert {"sample_traces@initial-0", "score_initial@initial-1", "weigh"} <= ran
    assert not any(name.startswith("score_posterior") for name in ran)
    weights = workspace.table("weights.parquet", schemas.Weights)
    assert weights["log_ratio"].abs().max() == 0
    assert set(weights["weight"].round(6)) <= {0.0, 0.5, 1.0}
    assert (workspace.path / "data/traces/posterior/seed=0.parquet").is_file()


def test_markers_of_several_tokens_and_the_explanation_template_run_alike(workspace):
    changes = ["proposal=posterior", "hint=answer", "template=A", "base.markers=text", "estimator=gml"]
    changes += ["seeds=[0]", "K=1"]
    ran = workspace.stages_run("dvc", "exp", "run", "build_final", *(p for change in changes for p in ("-S", change)))
    assert {"base", "train_initial", "train_posterior", "sample_traces@posterior-0", "build_final"} <= ran
    tokens = tokenizer.load_tokenizer(workspace.path / "models" / "base")
    assert len(tokenizer.encode(tokens, markers.END_THOUGHT)) > 1
    traces = workspace.table("traces/posterior/seed=0.parquet", schemas.Traces).filter(
        pl.col("finish").cast(pl.String) == "marker"
    )
    assert traces.height > 0
    for ids, n_thought in traces.select("trace_ids", "thought_tokens").iter_rows():
        assert markers.END_EXPLANATION in tokenizer.decode(tokens, ids)
        assert markers.END_EXPLANATION[:2] not in tokenizer.decode(tokens, ids[:n_thought])[-2:]
    rows = workspace.table("final.parquet", schemas.Final)
    assert all(tokenizer.decode(tokens, ids).rstrip().endswith(markers.END_THOUGHT) for ids in rows["trace_ids"])


def test_log_probs_of_the_sampler_stand_in_for_a_pass_of_the_scorer_and_are_compared_with_it(workspace):
    scored = workspace.table("logps/posterior/posterior/seed=0.parquet", schemas.Logps)
    ran = workspace.stages_run(
        "dvc", "exp", "run", "stages/dvc.yaml:score_posterior@0", "-S", "posterior_logps=sampler"
    )
    assert ran == {"sample_traces@posterior-0", "score_posterior@0"}
    sampled = workspace.table("logps/posterior/posterior/seed=0.parquet", schemas.Logps)
    both = scored.join(sampled, on=TRACE_KEY, validate="1:1")
    assert both.height == 64
    assert (both["trace_tokens"] == both["trace_tokens_right"]).all()
    assert (both["trace_logp_sum"] - both["trace_logp_sum_right"]).abs().max() < 1e-3
    statistics = pl.read_csv(workspace.path / "data" / "scoring" / "seed=0.csv").row(0, named=True)
    assert statistics["logps_from"] == "sampler"
    assert statistics["compared_tokens"] == sampled["trace_tokens"].sum()  # all 64: few enough
    assert 0 < statistics["mean_abs_difference_nats"] <= statistics["max_abs_difference_nats"] < 1e-3
