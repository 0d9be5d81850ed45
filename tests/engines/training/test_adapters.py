"""Adapters are trained as the method says, and the published model is the base with what they add."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from running import RESUMED, kill_and_resume, make_job, run_jobs
from safetensors.torch import load_file, save_file
from trainings import LONG, WEIGHTS, Outcome, load_weights, make_rows, params

from vr.engines.training import adapters, trainer
from vr.engines.training.publish import publish
from vr.renderers.model_directory import load_model
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine
from vr.settings.training import Train

LAYERS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
LORA = {"rank": 4, "alpha": 8, "targets": "all"}  # what adapters add is doubled


def lora_params(targets: Any = "all", **changes: Any) -> Train:
    return params(method="lora", lora=LORA | {"targets": targets}, **changes)


@pytest.fixture(scope="module")
def bases(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny models, and one whose weights are the same numbers in bf16 and in fp32."""
    root = tmp_path_factory.mktemp("bases")
    rounded = {name: tensor.bfloat16() for name, tensor in load_weights(tiny_models["special"]).items()}
    for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        shutil.copytree(tiny_models["special"], root / name)
        weights = {key: tensor.to(dtype) for key, tensor in rounded.items()}
        save_file(weights, root / name / "model.safetensors", {"format": "pt"})
        config = json.loads((root / name / "config.json").read_text())
        (root / name / "config.json").write_text(json.dumps(config | {"dtype": name}))
    return tiny_models | {name: root / name for name in ("bfloat16", "float32")}


@pytest.fixture(scope="module")
def trained(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trainings that the tests below look at: a folder for each, by its name."""
    root, jobs = tmp_path_factory.mktemp("lora"), []

    def add(name: str, rows: list[WeightedExample], base: str = "special", settings: Any = None, **how: Any) -> None:
        jobs.append(make_job(root / name, bases[base], rows, settings or lora_params(), **how))

    weighted = make_rows(bases["special"], WEIGHTS)
    add("1x8x1", weighted)
    add("2x2x2", weighted, train_ranks=2, train_micro_batch=2)
    add("zero 3", weighted, train_ranks=2, train_micro_batch=2, zero_stage=3)
    add("other words of weight 0", make_rows(bases["special"], WEIGHTS, other="something else"))
    add("all weights", weighted, settings=params())
    add("recomputed", weighted)
    jobs[-1].content["arguments"]["disable_gradient_checkpointing"] = False
    add("q_proj", weighted, settings=lora_params(["q_proj"]))
    add("bf16", weighted, settings=lora_params(precision="bf16"))
    add("on bfloat16", weighted, base="bfloat16")
    add("on bfloat16, zero 3", weighted, base="bfloat16", train_ranks=2, zero_stage=3)
    add("on float32", weighted, base="float32")
    add("unbroken", make_rows(bases["text"], WEIGHTS), base="text", settings=lora_params(epochs=LONG), **RESUMED)
    run_jobs(jobs)
    return root


def merged(trained: Path, name: str, base: Path, precision: str = "fp32") -> Outcome:
    """What a training came to: its curves and the weights with the adapters in them."""
    run = trained / name / "run"
    folder = adapters.merge(base, run, trained / name / "merged", precision)
    return Outcome(trainer.curves(run / "trainer_state.json"), load_weights(folder))


@pytest.fixture(scope="module")
def one_rank(trained: Path, tiny_model: Path) -> Outcome:
    return merged(trained, "1x8x1", tiny_model)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_the_published_model_has_the_logits_of_the_base_with_its_adapters(
    trained: Path, tiny_model: Path, tmp_path: Path, tied: bool
) -> None:
    from peft import PeftModel

    run, base = trained / "1x8x1" / "run", tiny_model
    if not tied:  # a head of its own, of the same adapters
        base = untied(tiny_model, tmp_path / "untied")
    folder = adapters.merge(base, run, tmp_path / "merged", "fp32")
    publish(folder, base, tmp_path / "out", precision="fp32", turn_ends=[1, 2])
    ids = torch.tensor([make_rows(tiny_model, WEIGHTS)[8].example.ids])
    with torch.no_grad():
        ours = load_model(tmp_path / "out")(ids).logits
        theirs = PeftModel.from_pretrained(load_model(base), run)(ids).logits
        before = load_model(base)(ids).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (ours - before).abs().max() > 0.1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in base.iterdir()}
    assert load_weights(tmp_path / "out").keys() == load_weights(base).keys()


def untied(model: Path, out: Path) -> Path:
    shutil.copytree(model, out)
    weights = load_weights(model)
    save_file(weights | {"lm_head.weight": -weights["model.embed_tokens.weight"]}, out / "model.safetensors")
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return out


@pytest.mark.slow
def test_adapters_alone_are_trained(trained: Path, one_rank: Outcome, tiny_model: Path) -> None:
    base = load_weights(tiny_model)
    assert base.keys() == one_rank.weights.keys()
    for name, weight in one_rank.weights.items():
        assert torch.equal(weight, base[name]) is (name.split(".")[-2] not in LAYERS), name
    # alpha / rank = 8 / 4
    of_q = load_file(trained / "1x8x1" / "run" / "adapter_model.safetensors")
    a, b = (of_q[f"base_model.model.model.layers.1.self_attn.q_proj.lora_{part}.weight"] for part in "AB")
    added = one_rank.weights["model.layers.1.self_attn.q_proj.weight"] - base["model.layers.1.self_attn.q_proj.weight"]
    assert (a.shape, b.shape) == ((4, 32), (64, 4))
    torch.testing.assert_close(added, 2 * b @ a, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_layers_that_are_not_named_stay_as_they_are(trained: Path, tiny_model: Path) -> None:
    base, after = load_weights(tiny_model), merged(trained, "q_proj", tiny_model).weights
    for name, weight in after.items():
        assert torch.equal(weight, base[name]) is (".q_proj." not in name), name


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["2x2x2", "zero 3", "recomputed"])
def test_adapters_do_not_depend_on_ranks_zero_stage_and_the_recomputing_of_activations_on_gpus(
    trained: Path, one_rank: Outcome, tiny_model: Path, layout: str
) -> None:
    merged(trained, layout, tiny_model).assert_close(one_rank)


@pytest.mark.slow
def test_rows_count_by_their_weights_as_where_all_weights_are_trained(
    trained: Path, one_rank: Outcome, tiny_model: Path
) -> None:
    merged(trained, "other words of weight 0", tiny_model).assert_close(one_rank)
    full = trainer.curves(trained / "all weights" / "run" / "trainer_state.json")
    # B is 0 at first, so the first loss is the base's; the rate goes the same way
    assert one_rank.curves["loss"][0] == pytest.approx(full["loss"][0], rel=1e-5)
    assert one_rank.curves["learning_rate"].to_list() == full["learning_rate"].to_list()
    epochs = one_rank.curves["loss"].to_list()
    assert sum(epochs[3:]) < sum(epochs[:3])


@pytest.mark.slow
def test_a_base_in_bf16_is_trained_in_the_precision_of_the_training(trained: Path, bases: dict[str, Path]) -> None:
    on_fp32 = merged(trained, "on float32", bases["float32"])
    for name in ("on bfloat16", "on bfloat16, zero 3"):
        on_bf16 = merged(trained, name, bases["bfloat16"])
        assert on_bf16.curves["loss"][0] == pytest.approx(on_fp32.curves["loss"][0], rel=1e-6)
        assert {tensor.dtype for tensor in on_bf16.weights.values()} == {torch.float32}
        # A begins in the type of the base
        torch.testing.assert_close(on_bf16.weights, on_fp32.weights, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_bf16_training_publishes_bf16(trained: Path, one_rank: Outcome, tiny_model: Path) -> None:
    half = merged(trained, "bf16", tiny_model, precision="bf16")
    assert {tensor.dtype for tensor in half.weights.values()} == {torch.bfloat16}
    assert half.curves["loss"].to_list() == pytest.approx(one_rank.curves["loss"].to_list(), rel=1e-2)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_ends_where_an_unbroken_one_does(
    trained: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = tiny_models["text"]
    result = kill_and_resume(base, tmp_path, method="lora", lora=LORA)
    whole, out = merged(trained, "unbroken", base), tmp_path / "models" / "final"
    torch.testing.assert_close(load_weights(out), whole.weights, rtol=1e-4, atol=1e-5)
    assert result.curves["step"].to_list() == whole.curves["step"].to_list() == list(range(1, 3 * LONG + 1))
    assert result.curves["loss"][-1] == pytest.approx(whole.curves["loss"][-1], rel=1e-4)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in base.iterdir())
    assert not list((tmp_path / "work").glob("*/*/"))


def test_an_interruption_between_training_and_merging_costs_no_training(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    def stand_in(job: Path, *_: object) -> None:
        launched.append(job)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(load_model(tiny_model), config).save_pretrained(job.parent / "run")
        (job.parent / "run" / "trainer_state.json").write_text('{"log_history": []}')

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    launched: list[Path] = []
    monkeypatch.setattr(trainer, "launch", stand_in)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(adapters, "merge", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_model, tmp_path)
    train(tiny_model, tmp_path)
    assert len(launched) == 1
    base, after = load_weights(tiny_model), load_weights(tmp_path / "out")
    assert {name.split(".")[-2] for name in base if not torch.equal(base[name], after[name])} == {"q_proj"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in tiny_model.iterdir()}


def train(base: Path, root: Path, targets: Any = "all") -> None:
    """A training of one row, to `root/out`."""
    trainer.train(
        iter(make_rows(base, [1.0], 1)),
        base,
        root / "out",
        params=lora_params(targets),
        rows_per_question=1,
        machine=Machine(),
        work_root=root / "work",
    )


@pytest.mark.parametrize("name", ["q_prj", "lm_head", "embed_tokens", "proj"])
def test_a_layer_that_the_model_does_not_have_is_named_with_those_that_it_has(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match=rf"no layer '{name}', .* lora.targets \(there are: {', '.join(LAYERS)}\)$"):
        train(tiny_model, tmp_path, ["q_proj", name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_linear_layers_are_those_that_llama_factory_takes_for_all(tiny_model: Path) -> None:
    from llamafactory.model.model_utils.misc import find_all_linear_modules

    assert adapters.linear_layers(tiny_model) == sorted(find_all_linear_modules(load_model(tiny_model), True)) == LAYERS
    adapters.require_targets(tiny_model, lora_params())
