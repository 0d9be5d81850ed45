"""Published models, in the place of trained ones or evaluated as they are, and wordings that others trained on."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pipeline_workspace import Workspace
from test_stages import PROBLEM, save
from tiny_models import RECIPE, make_model

from stages import evaluate, train_baseline, train_final, train_initial, train_posterior
from stages._run import Out
from vr.engines.training import trainer
from vr.renderers.tokenizer import decode, load_tokenizer
from vr.tables import schemas

NOWHERE = (Path("none"), Path("none"))
WRITTEN = (Out(Path("model")), Out(Path("model.csv")), Out(Path("curves.csv")))
STAGES = {
    "initial": train_initial.main,
    "posterior": train_posterior.main,
    "final": train_final.main,
    "baseline": train_baseline.main,
}
"""Each training; its arguments are two tables, the base model, a prompt, and what it writes."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the miniature's params.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(RECIPE.read_text())
    return tmp_path


def name_source(folder: Path, role: str, source: Path) -> None:
    """Let params.yaml name a published model for one training, and for no other."""
    text, line = (folder / "params.yaml").read_text(), f"\ntrain_{role}:"
    assert text.count(line) == 1
    entry = f"{line}\n  source: {source}\n" if role == "posterior" else f"{line} {{source: {source}}} #"
    (folder / "params.yaml").write_text(text.replace(line, entry))


@pytest.mark.parametrize("role", STAGES)
def test_a_published_model_is_taken_and_nothing_is_trained(
    role: str, folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "train", lambda *_, **__: pytest.fail("trained"))
    name_source(folder, role, tiny_model)
    STAGES[role](*NOWHERE, tiny_model, Path("none"), *WRITTEN)
    assert (folder / "model" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert (folder / "model.csv").read_text() == f"source,revision\n{tiny_model},\n"
    assert (folder / "curves.csv").read_text() == "step,epoch,loss,grad_norm,learning_rate\n"


@pytest.mark.parametrize("role", STAGES)
def test_a_published_model_of_another_tokenizer_than_the_base_s_leaves_nothing(
    role: str, folder: Path, tiny_models: dict[str, Path]
) -> None:
    name_source(folder, role, tiny_models["text"])
    with pytest.raises(ValueError, match=rf"^train_{role}\.source = .*: its tokenizer is not that of .*special"):
        STAGES[role](*NOWHERE, tiny_models["special"], Path("none"), *WRITTEN)
    assert os.listdir(folder) == ["params.yaml"]


class CapturedError(Exception):
    """Ends a stage where it would go on with what was captured."""


def test_q_is_trained_on_the_wording_of_the_file_that_is_named(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(rows: Any, *_: Any, **__: Any) -> None:
        raise CapturedError([decode(load_tokenizer(tiny_model), row.example.ids) for row in rows])

    monkeypatch.setattr(trainer, "train", train)
    save(folder / "problems.parquet", schemas.Problems, PROBLEM)
    save(folder / "subset.parquet", schemas.Subset, {"problem_id": "a"})
    (folder / "published_B.txt").write_text("Words that others trained on.\n")
    tables = Path("problems.parquet"), Path("subset.parquet")
    with pytest.raises(CapturedError) as caught:
        train_posterior.main(*tables, tiny_model, Path("published_B.txt"), *WRITTEN)
    ((text,),) = caught.value.args
    assert text.startswith("<|im_start|>system\nWords that others trained on.<|im_end|>\n<|im_start|>user\n1+1?")


@pytest.mark.parametrize(("trained_with", "asked_with"), [("Words of the rows.", "Words of the rows."), (None, None)])
def test_a_model_is_asked_with_the_system_prompt_of_its_training_rows(
    trained_with: str | None, asked_with: str | None, folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def responses(_sampler: Any, asked: pl.DataFrame, *_: Any, **__: Any) -> None:
        raise CapturedError(asked["system"].unique().to_list())

    monkeypatch.setattr(evaluate.draws, "Sampler", lambda *_: None)
    monkeypatch.setattr(evaluate.draws, "responses", responses)
    monkeypatch.setattr(evaluate, "work_folder", lambda *_: nullcontext(folder))
    save(folder / "problems.parquet", schemas.Problems, PROBLEM | {"system": trained_with})
    columns = schemas.Benchmark.columns()
    save(folder / "miniature_test.parquet", schemas.Benchmark, {name: PROBLEM.get(name) for name in columns})
    tables = Path("miniature_test.parquet"), Path("problems.parquet")
    prompt = RECIPE.parent / "prompts" / "reasoner.txt"
    with pytest.raises(CapturedError) as caught:
        evaluate.main(*tables, tiny_model, prompt, prompt, Out(Path("evals.parquet")))
    assert caught.value.args == ([asked_with],)


# With DVC, in a copy of the project

EVALUATE_ALONE = (
    "dvc", "exp", "run", "-S", "+published.vr-4b={source:./published,revision:null}", "-S", "evaluate.models=[vr-4b]",
    "evaluate@vr-4b-miniature_test",
)  # fmt: skip


@pytest.mark.slow
def test_one_command_evaluates_a_published_model_and_trains_nothing(workspace: Workspace) -> None:
    assert "published@" not in workspace.run("dvc", "stage", "list", "stages/dvc.yaml", "--name-only")
    make_model(workspace.path / "published", "special")
    assert workspace.stages_run(*EVALUATE_ALONE) == {
        "published@vr-4b",
        "problems",
        "benchmark@miniature_test",
        "evaluate@vr-4b-miniature_test",
    }
    assert workspace.table("evals/vr-4b/miniature_test.parquet", schemas.Evals).height == 8 * 2
    assert (workspace.path / "data/published/vr-4b.csv").read_text() == "source,revision\n./published,\n"
    assert workspace.stages_run("dvc", "repro", "evaluate@vr-4b-miniature_test") == set()


def test_another_folder_of_prompts_is_what_the_stages_read(workspace: Workspace) -> None:
    from dvc.repo import Repo

    params = workspace.path / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("prompts: vr/recipes/prompts", "prompts: my_prompts"))
    with Repo(str(workspace.path)) as repo:
        (stage,) = repo.stage.collect(f"{workspace.path}/stages/dvc.yaml:train_posterior")
    params.write_text(text)
    assert "my_prompts/posterior_B.txt" in stage.cmd
    assert [dep.def_path for dep in stage.deps if "prompts" in dep.def_path] == ["my_prompts/posterior_B.txt"]
