"""Stages that are killed, or started twice, in a copy of the project with tiny parameters: nothing is lost or mixed up.

Each test starts from the outputs of a run of all that the killed stages need, and leaves them as they were.
"""

import io
import signal
from pathlib import Path

import polars as pl
import psutil
import pytest
from pipeline_workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def first_run(workspace: Workspace) -> None:
    names = ("score_initial@posterior-0", "score_posterior@0", "verify_answers@posterior-0")
    workspace.run("dvc", "repro", "evaluate@initial-miniature_test", *(f"stages/dvc.yaml:{name}" for name in names))


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
    repro = ["dvc", "repro", "--force", "--single-item", "stages/dvc.yaml:score_initial@posterior-0"]
    _, table = command_and_table(workspace, "score_initial@posterior-0")
    whole = table.read_bytes()
    with workspace.start(*repro) as dvc:
        workspace.caught_in_the_middle(dvc, "logps-initial-posterior-seed=0")
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
