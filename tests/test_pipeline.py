"""The real `dvc repro`, engines and all, in a copy with tiny parameters; what ran is read from DVC's own record.

One copy serves all tests here, in the order in which a researcher would run them: a first acc run, then changes.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest
from ruamel.yaml import YAML

from vr.renderers import markers, tokenizer
from vr.tables import parquet, schemas
from vr.tables.vocabulary import JUDGED, TRACE_KEY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TINY = {
    "K": 2,
    "seeds": [0, 1],
    "problems": {"train": 64, "slips": 0.1, "guesses": 0.3},
    "benchmark": {
        "miniature_dev": {"questions": 4, "programs": 0.2, "seed": 0},
        "miniature_test": {"questions": 8, "programs": 0.2, "seed": 0},
    },
    "base": {"hidden_size": 32, "layers": 2, "heads": 1},
    "training": {"epochs": 24, "batch_size": 16, "learning_rate": 0.01},
    "sample_traces": {"max_tokens": 48},
    "sample_answers": {"samples": 2, "max_tokens": 32},
    "evaluate": {"samples": {"miniature_dev": 2, "miniature_test": 2}, "max_tokens": 80},
    "report": {"bootstrap": 200},
}
MACHINE = "{shard_rows: 1, max_sequences: 4, score_tokens: 128}"
"""Small steps, so that a run can be caught in the middle."""


class Workspace:
    """A copy of the project, and the stages that each command ran in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str) -> str:
        """Run a command there; its output, or an assertion with it."""
        with self.start(*command) as process:
            output = process.communicate()[0]
        assert process.returncode == 0, output[-6000:]
        return output

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command there; what it writes goes to its stdout."""
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=os.environ | {"PATH": paths, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def table(self, name: str, schema: type) -> pl.DataFrame:
        return parquet.read(self.path / "data" / name, schema)

    def shards(self, work: str) -> list[Path]:
        """The shards that a stage has saved so far."""
        return list((self.path / ".work" / work).glob("*/**/*.parquet"))

    def caught_in_the_middle(self, process: subprocess.Popen[str], work: str, at_least: int = 2) -> None:
        """Wait until a stage has saved some shards; it is then still at work."""
        while len(self.shards(work)) < at_least:
            assert process.poll() is None, process.communicate()[0][-6000:]

    def lock(self) -> dict[str, dict]:
        """dvc.lock of both pipelines: what each stage last ran with."""
        yaml = YAML(typ="safe", pure=True)
        files = [self.path / "dvc.lock", self.path / "stages" / "dvc.lock"]
        return {name: stage for f in files if f.exists() for name, stage in yaml.load(f.read_text())["stages"].items()}

    def stages_run(self, *command: str) -> set[str]:
        """Run a DVC command; the stages that it says it ran."""
        output = self.run(*command)
        lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
        return {line.split("'")[1].removeprefix("stages/dvc.yaml:") for line in lines}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    path = tmp_path_factory.mktemp("pipeline") / "vr"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (ROOT / name).is_file() and not name.endswith("dvc.lock"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    yaml = YAML()
    document = yaml.load((ROOT / "vr" / "recipes" / "miniature.yaml").read_text())
    for key, value in TINY.items():
        document[key].update(value) if isinstance(value, dict) else document.__setitem__(key, value)
    with (path / "params.yaml").open("w") as file:
        yaml.dump(document, file)
    (path / "machine.yaml").write_text(MACHINE)
    workspace = Workspace(path)
    workspace.run("git", "init", "-q")
    workspace.run("git", "config", "user.email", "test@example.org")
    workspace.run("git", "config", "user.name", "test")
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "-qm", "tiny")
    yield workspace
    shutil.rmtree(path)


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
        | of_seeds(0, 1) | acc_of_seeds(0, 1) | AFTER_WEIGHTS
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


LONG_STAGES = {  # and the folder of each under .work
    "sample_traces@posterior-0": "traces-posterior-seed=0",
    "score_initial@posterior-0": "logps-initial-posterior-seed=0",
    "score_posterior@0": "logps-posterior-posterior-seed=0",
    "sample_answers@posterior-0": "answers-posterior-seed=0",
    "verify_answers@posterior-0": "verifications-posterior-seed=0",
    "evaluate@initial-miniature_test": "evals-initial-miniature_test",
}


def command_and_table(workspace: Workspace, name: str) -> tuple[list[str], Path]:
    """A stage's command, and the table that it writes."""
    stage = workspace.lock()[name]
    return stage["cmd"].split(), workspace.path / stage["outs"][0]["path"]


def assert_same_verdicts(table: Path, whole: bytes) -> None:
    """The same table but for the times, which are measured; then put `whole` back, for DVC."""
    one, other = (
        pl.read_parquet(io.BytesIO(b)).drop("cpu_seconds", "wall_seconds") for b in (whole, table.read_bytes())
    )
    assert one.equals(other)
    table.write_bytes(whole)


@pytest.mark.parametrize("name", LONG_STAGES)
def test_a_stage_that_is_killed_goes_on_where_it_was_and_ends_with_the_same_table(workspace, name):
    work = LONG_STAGES[name]
    command, table = command_and_table(workspace, name)
    whole = table.read_bytes()
    table.unlink()
    with workspace.start(*command) as process:
        workspace.caught_in_the_middle(process, work)
        process.kill()
    assert not table.exists(), "it was not killed in the middle"
    saved = sum(pl.read_parquet(shard).height for shard in workspace.shards(work))
    output = workspace.run(*command)
    assert f"going on: {saved} of {pl.read_parquet(table).height} rows were done before" in output
    if name == "verify_answers@posterior-0":
        assert_same_verdicts(table, whole)
    assert table.read_bytes() == whole
    assert [path.name for path in (workspace.path / ".work" / work).iterdir()] == ["lock"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # that DVC takes: some wait for the stage, some become it
def test_killing_dvc_ends_its_stage_and_the_next_repro_goes_on(workspace, shell, monkeypatch):
    monkeypatch.setenv("SHELL", shell)
    repro = ["dvc", "repro", "--force", "--single-item", "sample_traces@posterior-0"]
    _, table = command_and_table(workspace, "sample_traces@posterior-0")
    whole = table.read_bytes()
    with workspace.start(*repro) as dvc:
        workspace.caught_in_the_middle(dvc, "traces-posterior-seed=0")
        stages = psutil.Process(dvc.pid).children(recursive=True)
        dvc.kill()
        dvc.communicate()
    assert stages and not psutil.wait_procs(stages, timeout=60)[1]
    assert not table.exists()
    assert "rows were done before" in workspace.run(*repro)
    assert table.read_bytes() == whole


def test_other_params_do_not_pick_up_the_shards_of_a_killed_run(workspace):
    command, table = command_and_table(workspace, "score_initial@posterior-0")
    whole, params = table.read_bytes(), workspace.path / "params.yaml"
    text = params.read_text()
    with workspace.start(*command) as process:
        workspace.caught_in_the_middle(process, "logps-initial-posterior-seed=0")
        process.kill()
    params.write_text(text.replace("token_logps: false", "token_logps: true"))
    assert "going on" not in workspace.run(*command)
    assert pl.read_parquet(table)["trace_logps"].null_count() == 0
    params.write_text(text)
    assert "going on" not in workspace.run(*command)
    assert table.read_bytes() == whole


def test_a_second_run_of_a_stage_stops_and_names_the_first(workspace):
    command, table = command_and_table(workspace, "verify_answers@posterior-0")
    whole = table.read_bytes()
    table.unlink()
    with workspace.start(*command) as first:
        workspace.caught_in_the_middle(first, "verifications-posterior-seed=0")
        first.send_signal(signal.SIGSTOP)
        with workspace.start(*command) as second:
            output = second.communicate()[0]
        assert second.returncode == 1
        assert f"process {first.pid} is at work on the same step" in output
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert_same_verdicts(table, whole)


def test_a_second_repro_runs_nothing(workspace):
    assert workspace.stages_run("dvc", "repro") == set()


def test_the_plots_are_drawn_from_the_run(workspace):
    workspace.run("dvc", "plots", "show", "--out", "dvc_plots")
    html = (workspace.path / "dvc_plots" / "index.html").read_text()
    for title in (
        "Loss of every step of the three trainings",
        "Pass@k",
        "Trace length against total log ratio (Figure 4)",
        "Effective sample size",
    ):
        assert title in html


def test_gml_reruns_only_the_likelihood_term_the_weights_and_what_follows(workspace):
    before = workspace.lock()
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "estimator=gml")
    likelihood = {f"likelihood_reference@gml-posterior-{seed}" for seed in (0, 1)}
    assert ran == likelihood | AFTER_WEIGHTS
    after = workspace.lock()
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= likelihood | AFTER_WEIGHTS
    assert "weigh" in changed


def test_another_learning_rate_reruns_only_the_final_training_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "+train_final.learning_rate=2e-3")
    assert ran == {"train_final", "evaluate@final-miniature_test", "report"}


def test_new_seeds_run_only_their_own_stages_and_the_weights_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "seeds=[0,1,2]", "-S", "K=3", "-S", "estimator=acc")
    assert ran == of_seeds(2) | acc_of_seeds(2) | AFTER_WEIGHTS
    assert workspace.table("weights.parquet", schemas.Weights).height == 64 * 3


def test_a_smaller_k_reruns_only_the_weights_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "K=1")
    assert ran == AFTER_WEIGHTS
    assert workspace.table("weights.parquet", schemas.Weights)["seed"].unique().to_list() == [0]


def test_a_k_above_the_seeds_says_how_to_add_seeds(workspace):
    with pytest.raises(AssertionError, match=r"K = 9 is more than the 3 seeds; add seeds: -S 'seeds=\[0, 1, 2, 3"):
        workspace.run("dvc", "exp", "run", "-S", "K=9")


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
    ran = workspace.stages_run("dvc", "exp", "run", "score_posterior@0", "-S", "posterior_logps=sampler")
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


def test_an_experiment_in_a_folder_of_its_own_uses_the_machine_yaml_of_the_project(workspace):
    (workspace.path / "machine.yaml").write_text("{shard_rows: 0}")
    with pytest.raises(AssertionError, match=r"machine\.yaml: shard_rows = 0"):
        workspace.run("dvc", "exp", "run", "--temp", "-S", "report.bootstrap=300")
    (workspace.path / "machine.yaml").write_text(MACHINE)
