"""Questions of every benchmark go through the real stage `evaluate`, and each ends as a row of the results.

The model knows nothing: loaders, prompts, verdicts and tables are what is tried.
"""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from benchmark_sets import needs_real_rows, real_folder, settings, write_gpqa, write_livecodebench
from ruamel.yaml import YAML
from tiny_models import RECIPE, ROOT

from vr.report import metrics, results_table
from vr.settings.params import GymBenchmark, MiniatureBenchmark, Report
from vr.settings.sources import Miniature
from vr.sources import benchmarks, miniature
from vr.tables import parquet, schemas
from vr.tables.vocabulary import JUDGED

pytestmark = [needs_real_rows, pytest.mark.slow]

QUESTIONS, SAMPLES = 8, 2
PROMPTS = ROOT / "vr" / "recipes" / "prompts"
NAME = "miniature_test"
"""The benchmark that the stage takes the questions of all for."""
BOTH_FORMS = 2
"""Questions of each difficulty among the made-up rows of LiveCodeBench."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pl.DataFrame]:
    """A table for each benchmark: real rows, or made-up ones where theirs cannot be had."""
    folder = real_folder(tmp_path_factory.mktemp("sets"))
    write_gpqa(folder)
    write_livecodebench(folder)
    found = {
        name: benchmarks.load(
            name, settings(questions=BOTH_FORMS if name.startswith("live") else QUESTIONS), str(folder)
        )
        for name in benchmarks.CATALOGUE
    }
    made = {
        "gym_gsm_symbolic": GymBenchmark(
            generator="gsm_symbolic", split="test", questions=QUESTIONS, seed=1, config={}
        ),
        "miniature_test": MiniatureBenchmark(questions=QUESTIONS, programs=0.2, seed=0),
    }
    return found | {name: benchmarks.load(name, entry, None) for name, entry in made.items()}


def evaluated(folder: Path, questions: pl.DataFrame, model: Path) -> tuple[pl.DataFrame, str]:
    """What the stage `evaluate` makes of all questions, in one run because an engine is slow to start."""
    document = YAML().load(RECIPE.read_text())
    document["evaluate"].update({"samples": {NAME: SAMPLES}, "benchmarks": [NAME], "max_tokens": 24})
    YAML().dump(document, folder / "params.yaml")
    problems = miniature.load(Miniature(train=2, programs=0.0, slips=0.0, guesses=0.0, seed=0)).problems
    parquet.write(problems.with_columns(self_check=None), folder / "problems.parquet", schemas.Problems)
    parquet.write(questions, folder / f"{NAME}.parquet", schemas.Benchmark)
    arguments = (
        f"{NAME}.parquet",
        "problems.parquet",
        str(model),
        f"{PROMPTS}/reasoner.txt",
        f"{PROMPTS}/untrained.txt",
    )
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate", *arguments, "evals.parquet"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return parquet.read(folder / "evals.parquet", schemas.Evals), done.stdout + done.stderr


def test_every_benchmark_ends_in_the_table_of_results(tables, tiny_model, tmp_path):
    evals, log = evaluated(tmp_path, pl.concat(tables.values()), tiny_model)
    assert set(evals["outcome"]) <= set(JUDGED)
    assert {"length", "prompt_too_long"} <= set(evals["finish"])  # 512 positions are too few for some prompts
    assert evals.filter(pl.col("finish") == "prompt_too_long")["outcome"].unique().to_list() == ["no_answer"]
    found = {
        ("tiny", name): evals.join(table.select("problem_id"), on="problem_id", how="semi")
        for name, table in tables.items()
    }
    assert all(frame.height == SAMPLES * tables[name].height for (_, name), frame in found.items())
    headlines = metrics.headlines(found, Report(pass_at=[1, 2], bootstrap=100, seed=0))
    rows = results_table.markdown(headlines).splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(tables)
    assert "Made up" not in log  # GPQA's questions may not be published
