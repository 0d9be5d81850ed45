"""The command: a page of 100 columns, and one line for what is wrong."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from planned import RECIPES, document, saved

from vr.plan import __main__ as command
from vr.plan import page, planning

MINIATURE = RECIPES / "miniature.yaml"


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    monkeypatch.setattr(sys, "argv", ["plan", *map(str, arguments)])
    command.main()
    return capsys.readouterr().out


def test_the_miniature_is_planned_before_anything_is_made(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    text = printed(monkeypatch, capsys, "--params", MINIATURE)
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"^train_final +1 +3,000 .* 1128 +32=\d+x\d+x\d+ ", text, re.MULTILINE)
    assert "assumed: miniature" in text
    assert text.endswith("does not fit: nothing\n")
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_run_has_made_is_measured(tmp_path, monkeypatch, tiny_model) -> None:
    entries = document(
        "miniature", base__source=str(tiny_model), prompts=str(RECIPES / "prompts"),
        problems={"sources": ["table"], "table": {"path": "mine.jsonl", "name": "mine"}},
    )  # fmt: skip
    (tmp_path / "params.yaml").write_text(json.dumps(entries))  # JSON is YAML too
    (tmp_path / "data" / "evals" / "final").mkdir(parents=True)
    saved(tmp_path / "data" / "problems.parquet", *map(str, range(20)))
    pl.DataFrame({"response_tokens": [30, 50]}).write_parquet(tmp_path / "data/evals/final/miniature_test.parquet")
    shutil.copytree(tiny_model, tmp_path / "models" / "base")
    monkeypatch.chdir(tmp_path)
    plan = planning.make(*map(Path, ("params.yaml", "machine.yaml", "data", "models")), measure=False)
    stages = {stage.name: stage for stage in plan.stages}
    assert plan.run.texts.source.startswith("measured on 20 questions of data/problems.parquet")
    assert stages["train_initial"].rows == 20
    assert stages["evaluate@final-miniature_test"].tokens == 300 * 8 * 40
    assert stages["evaluate@initial-miniature_test"].tokens != 300 * 8 * 40  # it was not evaluated


def test_hours_of_the_steps_add_up_to_those_of_the_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = planning.make(MINIATURE, Path("none.yaml"), Path("data"), Path("models"))
    steps = page._by_step(plan.stages, plan.clock)
    assert list(steps) == ["training", "sampling", "scoring", "evaluation", "the rest"]
    assert min(steps.values()) > 0
    assert sum(steps.values()) == pytest.approx(sum(s.times * plan.clock.seconds(s.work) for s in plan.stages))
    of_seed = [plan.clock.seconds(s.work) for s in plan.stages if s.name.startswith("score_")]
    assert len(of_seed) == 2  # under pi_0 and under q
    assert steps["scoring"] == pytest.approx(4 * sum(of_seed))  # four seeds


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_is_planned_on_eight_h100(recipe, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    machine = RECIPES / "machines" / "8_h100.yaml"
    if recipe in ("miniature", "smollm2-135m-gsm-symbolic", "smollm2-135m-gsm8k"):
        machine = Path("none.yaml")  # batches of 16 or 32 rows
    gpu = ("--gpu", "h100", "--gpus", "8")
    text = printed(monkeypatch, capsys, "--params", RECIPES / f"{recipe}.yaml", "--machine", machine, *gpu)
    assert "8 x h100" in text and "evaluate@" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "none.yaml"], "none.yaml: No such file or directory"),
        (["--params", "broken.yaml"], "broken.yaml: line 1: not YAML"),
        (["--params", "empty.yaml"], "empty.yaml: no entries"),
        (["--params", "bad.yaml"], "params.yaml: estimator = 'best'"),
        (["--params", MINIATURE, "--machine", "broken.yaml"], "broken.yaml: line 1: not YAML"),
        (["--params", MINIATURE, "--gpu", "abacus", "--gpus", "1"], "--gpu abacus: not known (there are: h200, h100"),
        (["--params", MINIATURE, "--gpus", "8"], "--gpu and --gpus go together"),
        (["--params", MINIATURE, "--gpu", "h100", "--gpus", "0"], "--gpu and --gpus go together"),
        (["--params", MINIATURE, "--probe"], "--probe: models/base is not the base model of"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("a: [")
    Path("empty.yaml").write_text("# nothing\n")
    Path("bad.yaml").write_text(MINIATURE.read_text().replace("estimator: acc", "estimator: best"))
    with pytest.raises(SystemExit) as ended:
        printed(monkeypatch, capsys, *arguments)
    (line,) = str(ended.value).splitlines()
    assert line.startswith("plan: error: ") and message in line


def test_an_unknown_flag_is_refused_with_the_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "vr.plan", "--gpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage: python -m vr.plan" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "words"), [(41.4, "41 s"), (600, "10.0 min"), (3 * 3600, "3.0 h"), (10 * 86_400, "10.0 d")]
)
def test_a_duration_is_written_in_its_own_unit(seconds: float, words: str) -> None:
    assert page.duration(seconds) == words
