"""params.yaml is checked as a whole and every complaint names its entry and value."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import complaints, machine
from stages import params as read_params
from vr.settings import params

ROOT = Path(__file__).parent.parent
DOCUMENT = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
STAGES = [
    c for c in vars(params).values() if isinstance(c, type) and issubclass(c, params.Params) and hasattr(c, "section")
]


def changed(path: str, value: object) -> dict:
    first, *rest = path.split(".")
    return DOCUMENT | {first: DOCUMENT[first] | {rest[0]: value} if rest else value}


@pytest.mark.parametrize("cls", STAGES, ids=lambda cls: cls.section)
def test_the_checked_in_params_are_valid_and_complete(cls):
    assert cls.read(DOCUMENT).model_dump()


def test_every_section_and_switch_is_read_by_some_stage():
    read = {cls.section for cls in STAGES} | {key for cls in STAGES for key in cls.shared}
    assert set(DOCUMENT) == read | {"prompts"}  # prompts is read by dvc.yaml, as a folder of dependencies


@pytest.mark.parametrize(
    ("cls", "path", "value", "message"),
    [
        (params.Weigh, "estimator", "accuracy", r"params.yaml: estimator = 'accuracy'.*'acc', 'gml', 'l' or 'uniform'"),
        (params.Weigh, "K", 0, "params.yaml: K = 0"),
        (params.Weigh, "K", 6, r"K = 6 is more than the 4 seeds; add seeds: -S 'seeds=\[0, 1, 2, 3, 4, 5\]'"),
        (params.Weigh, "seeds", [1, 1, 2, 3], r"seeds = \[1, 1, 2, 3\].*once"),
        (params.Weigh, "weigh.ratio", "maybe", "params.yaml: weigh.ratio = 'maybe'"),
        (params.Weigh, "weigh.colour", 1, "params.yaml: weigh.colour = 1: Extra inputs"),
        (params.TrainFinal, "train_final.learning_rate", -1, "params.yaml: train_final.learning_rate = -1"),
        (params.TrainFinal, "train_final.normalizer", "mean", "train_final.normalizer = 'mean'"),
        (params.SampleTraces, "hint", "all", "params.yaml: hint = 'all'"),
        (params.SampleTraces, "sample_traces.top_p", 0, "sample_traces.top_p = 0"),
        (params.Evaluate, "evaluate.models", ["best"], "evaluate.models.0 = 'best'"),
        (params.Evaluate, "evaluate.benchmarks", {"miniature": 0}, "evaluate.benchmarks.miniature = 0"),
        (params.Problems, "problems.slips", 0.9, r"slips \+ guesses = 1.2"),
        (params.Problems, "problems", 3, "problems = 3: should be a section"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(cls, path, value, message):
    with pytest.raises(ValueError, match=message):
        cls.read(changed(path, value))


def test_all_complaints_come_at_once():
    document = DOCUMENT | {"weigh": DOCUMENT["weigh"] | {"max_trace_tokens": 0, "ratio": 7}}
    with pytest.raises(ValueError, match="max_trace_tokens = 0") as caught:
        params.Weigh.read(document)
    assert "weigh.ratio = 7" in str(caught.value)


def test_a_missing_section_or_entry_is_named():
    with pytest.raises(ValueError, match=r"params.yaml: missing K, weigh"):
        params.Weigh.read({key: value for key, value in DOCUMENT.items() if key not in ("K", "weigh")})
    no_batch = {k: v for k, v in DOCUMENT["train_final"].items() if k != "batch_size"}
    with pytest.raises(ValueError, match=r"train_final.batch_size: Field required"):
        params.TrainFinal.read(DOCUMENT | {"train_final": no_batch})


def test_numbers_as_dvc_writes_them_are_numbers(tmp_path, monkeypatch):
    # dvc exp run -S train_final.learning_rate=2e-5 writes 2e-05, which YAML 1.1 readers take for a string
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("learning_rate: ", "learning_rate: 2e-05 # "))
    monkeypatch.chdir(tmp_path)
    assert read_params(params.TrainFinal).learning_rate == 2e-05


def test_the_check_before_a_run_finds_every_complaint_once(tmp_path, monkeypatch):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert complaints() == []
    text = text.replace("estimator: acc", "estimator: best").replace("hint: solution", "hint: all")
    (tmp_path / "params.yaml").write_text(text.replace("K: 4", "K: many"))
    found = complaints()
    assert len(found) == 3
    for start in ("params.yaml: estimator = 'best'", "params.yaml: hint = 'all'", "params.yaml: K = 'many'"):
        assert sum(line.startswith(start) for line in found) == 1


def test_machine_yaml_is_optional_and_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert machine().zero_stage == 2
    Path("machine.yaml").write_text("train_ranks: 2\n")
    assert machine().train_ranks == 2
    Path("machine.yaml").write_text("train_ranks: 0\n")
    with pytest.raises(ValueError, match=r"machine.yaml(.|\n)*train_ranks"):
        machine()
