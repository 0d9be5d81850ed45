"""A stage meets bad input: one message that names the table, key or parameter, status 1, and no output."""

import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from vr.renderers.markers import join_response
from vr.tables import schemas

ROOT = Path(__file__).parent.parent
PROBLEM = {
    "problem_id": "a", "source": "s", "question": "1+1?", "system": None,
    "solution": join_response("1+1=2", "\\boxed{2}"), "reference": "2", "verifier": "math", "tests": None,
    "source_row": None, "match_method": None, "self_check": "correct",
}  # fmt: skip
TRACE = {"problem_id": "a", "seed": 0, "trace_ids": [1, 2], "trace_tokens": 2, "thought_tokens": 1, "text": "t",
         "finish": "marker"}  # fmt: skip
LOGP = {"problem_id": "a", "seed": 0, "trace_logp_sum": -1.0, "trace_tokens": 2, "answer_logp_sum": -1.0,
        "answer_tokens": 3, "trace_logps": None}  # fmt: skip
LIKELIHOOD = {"problem_id": "a", "seed": 0, "log_likelihood": -1.0, "reason": "", "answer_ids": None}


def save(path: Path, schema: type, *rows: dict) -> None:
    frame = pl.DataFrame(rows, schema={n: c.dtype for n, c in schema.columns().items() if n in rows[0]})
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def run(folder: Path, stage: str, *paths: str, params: dict[str, str] | None = None, **options) -> str:
    """Run a stage in a folder with the miniature's params, changed by text replacement; its one-line error."""
    text = (ROOT / "vr" / "recipes" / "miniature.yaml").read_text()
    for old, new in (params or {}).items():
        assert old in text
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)
    # no bytecode: a disk without room (below) would leave it truncated beside the real sources
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *paths],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, **options,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


def save_tables_of_one_trace(place: Path, estimator: str) -> None:
    """All that `weigh` reads for one problem and seed 0."""
    save(place / "problems.parquet", schemas.Problems, PROBLEM)
    save(place / "subset.parquet", schemas.Subset, {"problem_id": "a"})
    save(place / "traces/seed=0.parquet", schemas.Traces, TRACE)
    for folder in ("initial", "posterior"):
        save(place / folder / "seed=0.parquet", schemas.Logps, LOGP)
    save(place / estimator / "seed=0.parquet", schemas.Likelihood, LIKELIHOOD)


@pytest.fixture
def tables_of_one_trace(tmp_path):
    save_tables_of_one_trace(tmp_path, "gml")
    return tmp_path


WEIGH = ("weigh", "problems.parquet", "subset.parquet", "traces", "initial", "posterior", "gml", "weights.parquet")
ONE_SEED = {"seeds: [0, 1, 2, 3]": "seeds: [0]", "K: 4": "K: 1"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "weigh: error: traces/seed=1.parquet: no such table"),
        ({"K: 4": "K: 5"}, "params.yaml: weigh: K = 5 is more than the 4 seeds; add seeds: -S 'seeds=[0"),
        ({"estimator: acc": "estimator: best"}, "params.yaml: estimator = 'best': Input should be 'acc', 'gml'"),
        ({"max_trace_tokens: ": "max_trace_tokens: -"}, "params.yaml: weigh.max_trace_tokens = -"),
    ],
)
def test_bad_params_are_named(tables_of_one_trace, params, message):
    assert message in run(tables_of_one_trace, *WEIGH, params=params)
    assert not (tables_of_one_trace / "weights.parquet").exists()


def test_a_param_that_is_bad_for_another_stage_ends_the_first_one(tmp_path):
    error = run(
        tmp_path, "problems", "problems.parquet", "left_out.parquet", params={"estimator: acc": "estimator: best"}
    )
    assert error == (
        "problems: error: params.yaml: estimator = 'best': Input should be 'acc', 'gml', 'l' or 'uniform'\n"
    )
    assert not (tmp_path / "problems.parquet").exists()


@pytest.mark.parametrize(
    ("file", "schema", "rows", "message"),
    [
        ("problems.parquet", schemas.Problems, [{"problem_id": "a", "question": "1+1?"}], "column 'source' is missing"),
        ("traces/seed=0.parquet", schemas.Traces, [TRACE, TRACE], "traces/seed=0.parquet: duplicate key"),
        ("initial/seed=0.parquet", schemas.Logps, [LOGP | {"problem_id": "b"}], "logps of the initial model: 1 of 1"),
    ],
)  # fmt: skip
def test_bad_tables_are_named(tables_of_one_trace, file, schema, rows, message):
    save(tables_of_one_trace / file, schema, *rows)
    assert message in run(tables_of_one_trace, *WEIGH, params=ONE_SEED)
    assert not (tables_of_one_trace / "weights.parquet").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solution": "just 2"}, "four_markers_in_order"),
        ({"question": "  "}, "question_is_not_empty"),
    ],
)
def test_a_bad_problem_is_named_by_its_key(tmp_path, change, message):
    save(tmp_path / "problems.parquet", schemas.Problems, PROBLEM | change)
    error = run(tmp_path, "base", "problems.parquet", str(ROOT / "vr/recipes/prompts"), "base")
    assert message in error
    assert "'problem_id': 'a'" in error
    assert not (tmp_path / "base").exists()


def test_a_missing_model_is_named(tables_of_one_trace):
    save(tables_of_one_trace / "traces/posterior/seed=0.parquet", schemas.Traces, TRACE)
    prompt = str(ROOT / "vr/recipes/prompts/reasoner.txt")
    paths = ("problems.parquet", "traces/posterior/seed=0.parquet", "models/initial", prompt)
    paths += ("answers/posterior/seed=0.parquet",)
    error = run(tables_of_one_trace, "sample_answers", *paths)
    assert "models/initial: no such model" in error


def test_every_bad_entry_of_machine_yaml_is_named(tables_of_one_trace):
    (tables_of_one_trace / "machine.yaml").write_text("{shard_rows: 0, score_rank: 2}")
    error = run(tables_of_one_trace, "verify_answers", "problems.parquet", "answers.parquet", "out.parquet")
    assert "machine.yaml: shard_rows = 0: Input should be greater than 0" in error
    assert "machine.yaml: score_rank = 2: Extra inputs are not permitted" in error


def test_weights_from_lists_that_were_not_kept_name_the_switch_that_keeps_them(tables_of_one_trace):
    switch = {"  token_logps: false    # true: sum": "  token_logps: true    # true: sum"}
    error = run(tables_of_one_trace, *WEIGH, params=ONE_SEED | switch)
    assert "weigh.token_logps needs score_initial.token_logps and score_posterior.token_logps" in error


def test_a_disk_without_room_leaves_no_table(tables_of_one_trace):
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    error = run(tables_of_one_trace, *WEIGH, params=ONE_SEED, preexec_fn=no_room)
    assert "weights.parquet: cannot be written" in error
    assert not list(tables_of_one_trace.glob("*weights*"))


def test_a_disk_without_room_stops_a_long_stage_at_its_shard(tables_of_one_trace):
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    answer = {"problem_id": "a", "seed": 0, "sample": 0, "answer_ids": [1], "text": "\\boxed{2}", "finish": "marker"}
    save(tables_of_one_trace / "answers/seed=0.parquet", schemas.Answers, answer)
    stage = ("verify_answers", "problems.parquet", "answers/seed=0.parquet", "verifications/seed=0.parquet")
    error = run(tables_of_one_trace, *stage, preexec_fn=no_room)
    assert ".parquet: cannot be written" in error
    assert list((tables_of_one_trace / "verifications").iterdir()) == []


def test_an_evaluation_of_which_nothing_is_judged_is_named_and_leaves_no_report(tmp_path):
    response = {"problem_id": "a", "sample": 0, "verifier": "choice", "text": "C", "response_tokens": 1,
                "finish": "eos", "judged": "response", "outcome": "unparsable_reference",
                "detail": "no letter"}  # fmt: skip
    save(tmp_path / "evals/initial/miniature_test.parquet", schemas.Evals, response)
    paths = ("evals", "weights.parquet", "logps", "l", "gml", "problems.parquet", "benchmarks", "metrics.json",
             "details.json", "plots")  # fmt: skip
    assert run(tmp_path, "report", *paths) == (
        "report: error: evals/initial/miniature_test.parquet: of 1 responses none is judged (unparsable_reference 1),"
        " the first: no letter\n"
    )
    assert not list(tmp_path.glob("*.json"))


def test_help_says_what_a_stage_reads_and_writes():
    done = subprocess.run(
        [sys.executable, "-m", "stages.weigh", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Writes WEIGHTS" in done.stdout
    assert "LOGPS_INITIAL" in done.stdout
