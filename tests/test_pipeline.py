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

from vr.renderers import markers, renderer
from vr.tables import parquet, schemas

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TRAINING = {"epochs": 24, "batch_size": 16, "learning_rate": 0.01}
TINY = {
    "K": 2,
    "seeds": [0, 1],
    "problems": {"train": 64, "dev": 4, "test": 8, "slips": 0.1, "guesses": 0.3},
    "base": {"hidden_size": 32, "layers": 2, "heads": 1},
    "train_initial": TRAINING,
    "train_posterior": TRAINING,
    "train_final": TRAINING,
    "sample_traces": {"max_tokens": 40},
    "sample_answers": {"samples": 2, "max_tokens": 32},
    "evaluate": {"models": ["initial", "final"], "benchmarks": {"miniature": 2}, "max_tokens": 64},
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
    document = yaml.load((path / "params.yaml").read_text())
    for key, value in TINY.items():
        document[key].update(value) if isinstance(value, dict) else document.__setitem__(key, value)
    with (path / "params.yaml").open("w") as file:
        yaml.dump(document, file)
    (path / "machine.yaml").write_text(MACHINE)
    here = Workspace(path)
    here.run("git", "init", "-q")
    here.run("git", "config", "user.email", "test@example.org")
    here.run("git", "config", "user.name", "test")
    here.run("git", "add", "-A")
    here.run("git", "commit", "-qm", "tiny")
    yield here
    shutil.rmtree(path)


AFTER_WEIGHTS = {"weigh", "build_final", "train_final", "evaluate@final", "report"}


def of_seeds(*seeds: int) -> set[str]:
    names = ("sample_traces", "score_initial", "score_posterior")
    return {f"{name}@{seed}" for name in names for seed in seeds}


def acc_of_seeds(*seeds: int) -> set[str]:
    return {f"{n}@{seed}" for n in ("sample_answers", "verify_answers", "likelihood_acc") for seed in seeds}


def test_acc_runs_from_the_base_model_to_the_measured_final_model(workspace):
    ran = workspace.stages_run("dvc", "repro")
    assert ran == (
        {"problems", "base", "train_initial", "train_posterior", "q_samples@solution", "evaluate@initial"}
        | of_seeds(0, 1) | acc_of_seeds(0, 1) | AFTER_WEIGHTS
    )  # fmt: skip
    weights = workspace.table("weights.parquet", schemas.Weights)
    assert weights.height == 64 * 2
    assert 0 < weights["chosen"].sum() <= 64
    final = workspace.table("final.parquet", schemas.Final)
    assert final.height == 64 * 2  # one chosen or fallback row and one original row a question
    metrics = json.loads((workspace.path / "metrics.json").read_text())["miniature"]
    assert metrics["final"]["questions"] == 8
    assert metrics["final"]["ci_low"] <= metrics["final"]["avg_at_n"] <= metrics["final"]["ci_high"]
    assert set(metrics["final"]["pass_at_k"]) == {"1", "2"}
    assert sorted(p.name for p in (workspace.path / "models").iterdir()) == ["base", "final", "initial", "posterior"]


def test_both_models_scored_the_same_tokens_of_each_trace(workspace):
    for seed in (0, 1):
        traces = workspace.table(f"traces/seed={seed}.parquet", schemas.Traces)
        for model in ("initial", "posterior"):
            logps = workspace.table(f"logps_{model}/seed={seed}.parquet", schemas.Logps)
            assert logps["trace_tokens"].equals(traces["trace_tokens"])
            assert logps["trace_logp_sum"].null_count() == 0


def test_both_kinds_of_verification_were_used(workspace):
    problems = workspace.table("problems.parquet", schemas.Problems)
    verdicts = workspace.table("verifications/seed=0.parquet", schemas.Verifications).join(problems, on="problem_id")
    assert set(verdicts["verifier"].cast(pl.String)) == {"math", "call"}
    assert set(verdicts["outcome"].cast(pl.String)) <= set(schemas.JUDGED)


def test_each_seed_gives_other_traces(workspace):
    one, two = (workspace.table(f"traces/seed={seed}.parquet", schemas.Traces)["text"] for seed in (0, 1))
    assert (one != two).any()


def test_initial_and_final_took_the_same_number_of_steps(workspace):
    curves = [pl.read_csv(workspace.path / "plots" / f"train_{name}.csv") for name in ("initial", "final")]
    assert curves[0]["step"].max() == curves[1]["step"].max()
    for frame in curves:
        assert frame["loss"][-1] < frame["loss"][0]
        assert frame["grad_norm"].is_finite().all()


LONG_STAGES = {  # and the folder of each under .work
    "sample_traces@0": "traces-seed=0",
    "score_initial@0": "logps_initial-seed=0",
    "score_posterior@0": "logps_posterior-seed=0",
    "sample_answers@0": "answers-seed=0",
    "verify_answers@0": "verifications-seed=0",
    "evaluate@initial": "evals-initial",
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
    if name == "verify_answers@0":
        assert_same_verdicts(table, whole)
    assert table.read_bytes() == whole
    assert [path.name for path in (workspace.path / ".work" / work).iterdir()] == ["lock"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # that DVC takes: some wait for the stage, some become it
def test_killing_dvc_ends_its_stage_and_the_next_repro_goes_on(workspace, shell, monkeypatch):
    monkeypatch.setenv("SHELL", shell)
    repro = ["dvc", "repro", "--force", "--single-item", "sample_traces@0"]
    _, table = command_and_table(workspace, "sample_traces@0")
    whole = table.read_bytes()
    with workspace.start(*repro) as dvc:
        workspace.caught_in_the_middle(dvc, "traces-seed=0")
        stages = psutil.Process(dvc.pid).children(recursive=True)
        dvc.kill()
        dvc.communicate()
    assert stages and not psutil.wait_procs(stages, timeout=60)[1]
    assert not table.exists()
    assert "rows were done before" in workspace.run(*repro)
    assert table.read_bytes() == whole


def test_other_params_do_not_pick_up_the_shards_of_a_killed_run(workspace):
    command, table = command_and_table(workspace, "score_initial@0")
    whole, params = table.read_bytes(), workspace.path / "params.yaml"
    text = params.read_text()
    with workspace.start(*command) as process:
        workspace.caught_in_the_middle(process, "logps_initial-seed=0")
        process.kill()
    params.write_text(text.replace("token_logps: false", "token_logps: true"))
    assert "going on" not in workspace.run(*command)
    assert pl.read_parquet(table)["trace_logps"].null_count() == 0
    params.write_text(text)
    assert "going on" not in workspace.run(*command)
    assert table.read_bytes() == whole


def test_a_second_run_of_a_stage_stops_and_names_the_first(workspace):
    command, table = command_and_table(workspace, "verify_answers@0")
    whole = table.read_bytes()
    table.unlink()
    with workspace.start(*command) as first:
        workspace.caught_in_the_middle(first, "verifications-seed=0")
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
    for title in ("Loss of the three trainings", "Pass@k", "Trace length against log ratio", "Effective sample size"):
        assert title in html


def test_gml_reruns_only_the_likelihood_term_the_weights_and_what_follows(workspace):
    before = workspace.lock()
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "estimator=gml")
    likelihood = {f"likelihood_reference@gml-{seed}" for seed in (0, 1)}
    assert ran == likelihood | AFTER_WEIGHTS
    after = workspace.lock()
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= likelihood | AFTER_WEIGHTS
    assert "weigh" in changed


def test_another_learning_rate_reruns_only_the_final_training_and_after(workspace):
    ran = workspace.stages_run("dvc", "exp", "run", "-S", "train_final.learning_rate=2e-3")
    assert ran == {"train_final", "evaluate@final", "report"}


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


def test_without_a_hint_the_traces_come_from_pi_and_every_log_ratio_is_zero(workspace):
    changes = ["hint=none", "estimator=uniform", "seeds=[0,1]", "K=2"]
    ran = workspace.stages_run("dvc", "exp", "run", "weigh", *(p for change in changes for p in ("-S", change)))
    assert "train_posterior" not in ran
    assert {"pi_samples", "sample_traces@0", "score_posterior@1", "weigh"} <= ran
    weights = workspace.table("weights.parquet", schemas.Weights)
    assert weights["log_ratio"].abs().max() == 0
    assert set(weights["weight"].round(6)) <= {0.0, 0.5, 1.0}


def test_markers_of_several_tokens_and_the_explanation_template_run_alike(workspace):
    changes = ["hint=answer", "template=A", "base.markers=text", "estimator=gml", "seeds=[0]", "K=1"]
    ran = workspace.stages_run("dvc", "exp", "run", "build_final", *(p for change in changes for p in ("-S", change)))
    assert {"base", "train_initial", "train_posterior", "q_samples@answer", "sample_traces@0", "build_final"} <= ran
    coder = renderer.Renderer(renderer.load(workspace.path / "models" / "base"))
    assert len(coder.encode(markers.END_THOUGHT)) > 1
    traces = workspace.table("traces/seed=0.parquet", schemas.Traces).filter(
        pl.col("finish").cast(pl.String) == "marker"
    )
    assert traces.height > 0
    for ids, n_thought in traces.select("trace_ids", "thought_tokens").iter_rows():
        assert coder.decode(ids).endswith(markers.END_EXPLANATION)
        assert markers.END_EXPLANATION[:2] not in coder.decode(ids[:n_thought])[-2:]
    rows = workspace.table("final.parquet", schemas.Final)
    assert all(coder.decode(ids).endswith(markers.END_THOUGHT) for ids in rows["trace_ids"])


def test_log_probs_of_the_sampler_stand_in_for_a_pass_of_the_scorer_and_are_compared_with_it(workspace):
    scored = workspace.table("logps_posterior/seed=0.parquet", schemas.Logps)
    ran = workspace.stages_run("dvc", "exp", "run", "score_posterior@0", "-S", "posterior_logps=sampler")
    assert ran == {"sample_traces@0", "score_posterior@0"}
    sampled = workspace.table("logps_posterior/seed=0.parquet", schemas.Logps)
    both = scored.join(sampled, on=["problem_id", "seed"], validate="1:1")
    assert both.height == 64
    assert (both["trace_tokens"] == both["trace_tokens_right"]).all()
    assert (both["trace_logp_sum"] - both["trace_logp_sum_right"]).abs().max() < 1e-3
    statistics = pl.read_csv(workspace.path / "data" / "scoring" / "seed=0.csv").row(0, named=True)
    assert statistics["logps_from"] == "sampler"
    assert statistics["compared_tokens"] == sampled["trace_tokens"].sum()  # all 64: few enough
    assert 0 < statistics["mean_abs_difference_nats"] <= statistics["max_abs_difference_nats"] < 1e-3
