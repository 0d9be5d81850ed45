"""The real `dvc repro`, engines and all, in a copy with tiny parameters; what ran is read from DVC's own record.

One copy serves all tests here, in the order in which a researcher would run them: a first acc run, then changes.
"""

import json

import polars as pl
import pytest
from pipeline_workspace import MACHINE

from vr.tables import schemas
from vr.tables.vocabulary import JUDGED

pytestmark = pytest.mark.slow

AFTER_WEIGHTS = {"weigh", "build_final", "train_final", "evaluate@final-miniature_test", "report"}


def of_seeds(*seeds: int) -> set[str]:
    names = ("sample_traces@posterior-", "score_initial@posterior-", "score_posterior@")
    return {f"{name}{seed}" for name in names for seed in seeds}


def acc_of_seeds(*seeds: int) -> set[str]:
    names = ("sample_answers", "verify_answers", "likelihood_acc")
    return {f"{name}@posterior-{seed}" for name in names for seed in seeds}


def test_acc_runs_from_the_base_model_to_the_measured_final_model(workspace):
    ran = workspace.stages_run("dvc", "repro")
    assert ran == (
        {"problems", "subsets", "base", "train_initial", "train_posterior"}
        | {"benchmark@miniature_test", "evaluate@initial-miniature_test"}
        | of_seeds(0, 1) | acc_of_seeds(0, 1) | {"likelihood_reference"} | AFTER_WEIGHTS
    )  # fmt: skip
    weights = workspace.table("weights.parquet", schemas.Weights)
    assert weights.height == 64 * 2
    assert 0 < weights["chosen"].sum() <= 64
    final = workspace.table("final.parquet", schemas.Final)
    assert final.height == 64 * 2  # one chosen or fallback row and one original row a question
    metrics = json.loads((workspace.path / "metrics.json").read_text())["miniature_test"]
    assert metrics["final"]["questions"] == 8
    assert metrics["final"]["ci_low"] <= metrics["final"]["avg_at_n"] <= metrics["final"]["ci_high"]
    assert set(metrics["final"]["pass_at_k"]) == {"1", "2"}
    assert sorted(p.name for p in (workspace.path / "models").iterdir()) == ["base", "final", "initial", "posterior"]
    assert not (workspace.path / "data" / "baselines").exists()  # nobody asked for one


def test_both_models_scored_the_same_tokens_of_each_trace(workspace):
    for seed in (0, 1):
        traces = workspace.table(f"traces/posterior/seed={seed}.parquet", schemas.Traces)
        for model in ("initial", "posterior"):
            logps = workspace.table(f"logps/{model}/posterior/seed={seed}.parquet", schemas.Logps)
            assert logps["trace_tokens"].equals(traces["trace_tokens"])
            assert logps["trace_logp_sum"].null_count() == 0


def test_both_kinds_of_verification_were_used(workspace):
    problems = workspace.table("problems.parquet", schemas.Problems)
    verdicts = workspace.table("verifications/posterior/seed=0.parquet", schemas.Verifications)
    verdicts = verdicts.join(problems, on="problem_id")
    assert set(verdicts["verifier"].cast(pl.String)) == {"math", "call"}
    assert set(verdicts["outcome"].cast(pl.String)) <= set(JUDGED)


def test_each_seed_gives_other_traces(workspace):
    one, two = (workspace.table(f"traces/posterior/seed={seed}.parquet", schemas.Traces)["text"] for seed in (0, 1))
    assert (one != two).any()


def test_initial_and_final_took_the_same_number_of_steps_and_every_step_is_on_record(workspace):
    curves = [pl.read_csv(workspace.path / "plots" / f"train_{name}.csv") for name in ("initial", "final")]
    for frame in curves:
        assert frame["step"].to_list() == list(range(1, 24 * 64 // 16 + 1))
        assert frame["loss"][-1] < frame["loss"][0]
        assert frame["grad_norm"].is_finite().all()


def test_a_disk_holds_each_output_once(workspace):
    """What DVC keeps in its cache and what lies in the workspace are links to the same bytes."""
    weights = workspace.path / "models" / "final" / "model.safetensors"
    assert weights.stat().st_nlink > 1 or weights.is_symlink()


def test_a_second_repro_runs_nothing(workspace):
    assert workspace.stages_run("dvc", "repro") == set()


def test_no_stage_that_nobody_asked_for_is_named_as_never_run(workspace):
    assert "up to date" in workspace.run("dvc", "status")


def test_the_plots_are_drawn_from_the_run(workspace):
    workspace.run("python", "-m", "vr.report.plots_page", ".dvc/tmp/plots_page.html")
    assert "failed" not in workspace.run("dvc", "plots", "show", "--out", "dvc_plots")
    html = (workspace.path / "dvc_plots" / "index.html").read_text()
    for title in (
        "Loss of every step of the three trainings",
        "Pass@k",
        "Trace length against total log ratio (Figure 4)",
        "Effective sample size",
    ):
        assert title in html


def test_gml_reruns_only_the_weights_and_what_follows(workspace):
    before = workspace.lock()
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "estimator=gml")
    assert ran == AFTER_WEIGHTS
    after = workspace.lock()
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= AFTER_WEIGHTS
    assert "weigh" in changed


def test_another_learning_rate_reruns_only_the_final_training_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "+train_final.learning_rate=2e-3")
    assert ran == {"train_final", "evaluate@final-miniature_test", "report"}


def test_more_answers_to_one_benchmark_run_only_its_own_evaluations_and_the_report(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "evaluate.samples.miniature_test=3")
    assert ran == {"evaluate@initial-miniature_test", "evaluate@final-miniature_test", "report"}


def test_a_further_benchmark_runs_only_its_own_evaluations_and_the_report(workspace):
    both = "evaluate.benchmarks=[miniature_test,miniature_dev]"
    ran = workspace.stages_run("dvc", "exp", "run", "-S", both)
    assert ran == {
        "benchmark@miniature_dev", "evaluate@initial-miniature_dev", "evaluate@final-miniature_dev", "report"
    }  # fmt: skip
    assert set(json.loads((workspace.path / "metrics.json").read_text())) == {"miniature_test", "miniature_dev"}


def test_an_untrained_model_is_evaluated_on_demand(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "evaluate.models=[base,initial,final]")
    assert ran == {"evaluate@base-miniature_test", "evaluate@base-miniature_dev", "report"}


def test_the_baseline_is_trained_on_demand_in_as_many_steps_as_the_final_model(workspace):
    changes = ("-S", "baselines=[sft]", "-S", "evaluate.models=[initial,sft,final]")
    ran = workspace.stages_run("dvc", "exp", "run", *changes)
    assert ran == {
        "build_baseline@sft", "train_baseline@sft", "evaluate@sft-miniature_test", "evaluate@sft-miniature_dev",
        "report",
    }  # fmt: skip
    assert "up to date" in workspace.run("dvc", "status")
    rows = workspace.table("baselines/sft.parquet", schemas.Final)
    assert rows.height == 64 * 2  # as final has, with one trace and the original row of each question
    assert rows.select(rows["origin"].cast(pl.String), "weight").unique().rows() == [("original", 1.0)]
    final, sft = (pl.read_csv(workspace.path / "plots" / f"train_{name}.csv") for name in ("final", "sft"))
    assert sft["step"].equals(final["step"])
    assert sft["loss"][-1] < sft["loss"][0]
    assert set(json.loads((workspace.path / "metrics.json").read_text())["miniature_test"]) >= {"initial", "sft"}


def test_the_curve_of_a_baseline_is_drawn_by_name(workspace):
    curve = "plots/train_sft.csv"
    assert "failed" not in workspace.run("dvc", "plots", "show", curve, "-x", "step", "-y", "loss", "-o", "dvc_plots")
    assert curve in (workspace.path / "dvc_plots" / "index.html").read_text()


def test_another_k_makes_the_rows_of_the_baseline_anew_and_trains_nothing_where_they_are_the_same(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "stages/dvc.yaml:train_baseline@sft", "-S", "K=1")
    assert ran == {"build_baseline@sft"}


def test_an_experiment_in_a_folder_of_its_own_uses_the_machine_yaml_of_the_project(workspace):
    (workspace.path / "machine.yaml").write_text("{shard_rows: 0}")
    with pytest.raises(AssertionError, match=r"machine\.yaml: shard_rows = 0"):
        workspace.run("dvc", "exp", "run", "--temp", "-S", "report.bootstrap=300")
    (workspace.path / "machine.yaml").write_text(MACHINE)


def test_new_seeds_run_only_their_own_stages_and_the_weights_and_after(workspace):
    changes = ("-S", "seeds=[0,1,2]", "-S", "K=3", "-S", "estimator=acc")
    ran = workspace.stages_run("dvc", "exp", "run", "build_final", *changes)
    assert ran == of_seeds(2) | acc_of_seeds(2) | {"weigh", "build_final"}
    assert workspace.table("weights.parquet", schemas.Weights).height == 64 * 3


def test_a_smaller_k_reruns_only_the_weights_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "build_final", "-S", "K=1")
    assert ran == {"weigh", "build_final"}
    assert workspace.table("weights.parquet", schemas.Weights)["seed"].unique().to_list() == [0]


def test_a_k_above_the_seeds_says_how_to_add_seeds(workspace):
    params = workspace.path / "params.yaml"
    text = params.read_text()
    with pytest.raises(AssertionError, match=r"K = 9 is more than the 3 seeds; add seeds: -S 'seeds=\[0, 1, 2, 3"):
        workspace.run("dvc", "exp", "run", "-S", "K=9")
    params.write_text(text)
