"""Baselines: their rows, and what they are trained on, out of the tables in files; the stages that DVC has of them."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dvc.repo import Repo
from test_stages import PROBLEM, save
from tiny_models import RECIPE, ROOT

from stages import build_baseline, train_baseline
from stages._run import Out
from vr.engines.training import trainer
from vr.renderers.tokenizer import decode, load_tokenizer
from vr.settings.consistency import BASELINES
from vr.tables import parquet, schemas

REASONER = RECIPE.parent / "prompts" / "reasoner.txt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: problems a and b, of which b is in the final subset; K = 4, all traces weighted, no mix."""
    monkeypatch.chdir(tmp_path)
    text = RECIPE.read_text().replace("selection: best ", "selection: weighted ").replace("mix: true", "mix: false")
    (tmp_path / "params.yaml").write_text(text)
    save(tmp_path / "problems.parquet", schemas.Problems, PROBLEM, PROBLEM | {"problem_id": "b"})
    save(tmp_path / "subset.parquet", schemas.Subset, {"problem_id": "b"})
    return tmp_path


@pytest.fixture
def rows(folder: Path, tiny_model: Path) -> pl.DataFrame:
    """The table `sft.parquet`."""
    build_baseline.main(Path("problems.parquet"), Path("subset.parquet"), tiny_model, Out(Path("sft.parquet")))
    return parquet.read(folder / "sft.parquet", schemas.Final)


def test_the_rows_are_the_solutions_of_the_final_subset_as_often_as_there_are_traces(
    rows: pl.DataFrame, tiny_model: Path
) -> None:
    assert rows.select("problem_id", "row").rows() == [("b", 0), ("b", 1), ("b", 2), ("b", 3)]
    tokenizer = load_tokenizer(tiny_model)
    for trace_ids, answer_ids in rows.select("trace_ids", "answer_ids").iter_rows():
        assert decode(tokenizer, trace_ids) == "1+1=2\n\n<|end_of_thought|>"
        assert decode(tokenizer, answer_ids) == "\\boxed{2}\n\n<|end_of_solution|>"


@pytest.mark.usefixtures("rows")
def test_it_is_trained_on_them_with_a_batch_that_is_as_many_times_larger(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Result:
        def write(self, *_: Path) -> None: ...

    def train(examples: Any, _base: Path, out: Path, **how: Any) -> Result:
        texts = {decode(load_tokenizer(tiny_model), example.example.ids) for example in examples}
        seen.append((len(texts), out.name, how["rows_per_question"], type(how["params"]).__name__))
        return Result()

    monkeypatch.setattr(trainer, "train", train)
    written = Out(Path("models/sft")), Out(Path("sft.csv")), Out(Path("curves.csv"))
    train_baseline.main(Path("problems.parquet"), Path("sft.parquet"), tiny_model, REASONER, *written)
    assert seen == [(1, "sft", 4, "TrainBaseline")]


def test_a_table_that_is_named_after_no_baseline_is_refused(folder: Path, tiny_model: Path) -> None:
    out = Out(folder / "rft.parquet")
    with pytest.raises(ValueError, match=r"rft.parquet: the table should be named after a baseline \(there are: sft\)"):
        build_baseline.main(Path("problems.parquet"), Path("subset.parquet"), tiny_model, out)
    assert not out.exists()


def test_every_baseline_that_params_may_name_has_rows() -> None:
    assert set(build_baseline.ROWS) == set(BASELINES)


@pytest.mark.parametrize(
    ("baselines", "stages"), [("[]", set()), ("[sft]", {"build_baseline@sft", "train_baseline@sft"})]
)
def test_dvc_has_the_stages_of_the_baselines_that_are_named_and_of_no_other(
    baselines: str, stages: set[str], tmp_path: Path
) -> None:
    text = RECIPE.read_text()
    assert text.count("\nbaselines: [] ") == 1
    (tmp_path / "params.yaml").write_text(text.replace("\nbaselines: [] ", f"\nbaselines: {baselines} "))
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages" / "dvc.yaml", tmp_path / "stages")
    Repo.init(str(tmp_path), no_scm=True).close()
    with Repo(str(tmp_path)) as repo:
        names = {stage.addressing.rpartition(":")[2] for stage in repo.index.stages}
    assert {name for name in names if "baseline" in name} == stages
