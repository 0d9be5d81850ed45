"""What does not fit is named with the entry that mends it."""

from pathlib import Path

import pytest
from planned import gpus, run

from vr.plan import disk, fits, hardware, work
from vr.plan.hardware import Hardware
from vr.plan.hours import Clock
from vr.settings.machine import Machine
from vr.settings.yaml_files import machine_of

EIGHT = Path(__file__).parents[2] / "vr" / "recipes" / "machines" / "8_h100.yaml"


def misfits(recipe: str, on: Hardware, machine: Machine, free: float | None = None, **changes: object) -> list[str]:
    planned = run(recipe, on, machine, **changes)
    clock = Clock(planned.shape, planned.machine, on, lambda p: hardware.speed(on, p, 1))
    return fits.lines(work.stages(planned), clock, planned.document, free)


@pytest.mark.parametrize("recipe", ["qwen3-4b-17k", "qwen3-8b-17k", "qwen2.5-7b-17k-pa", "qwen2.5-7b-17k-pb"])
def test_the_paper_s_recipes_fit_on_eight_h100(recipe: str) -> None:
    assert misfits(recipe, gpus("h100", 8), machine_of(EIGHT)) == []


def test_32_billion_weights_do_not_train_on_eight_h100_but_with_adapters_they_do() -> None:
    on, machine = gpus("h100", 8), machine_of(EIGHT)
    found = misfits("qwen2.5-32b-17k-pa", on, machine)
    assert [line.partition(":")[0] for line in found] == [
        "train_initial", "train_posterior", "score_initial@posterior-*", "score_posterior@*", "train_final"
    ]  # fmt: skip
    assert found[0].endswith("params.yaml: train_initial.method: lora")
    assert found[2].endswith("machine.yaml: score_zero3: true")
    shared = machine.model_copy(update={"score_zero3": True})
    assert misfits("qwen2.5-32b-17k-pa", on, shared, training__method="lora") == []


def test_a_training_that_zero_3_would_fit_names_it() -> None:
    (first, *_) = misfits("qwen3-8b-17k", gpus("h100", 4), Machine(zero_stage=1))
    assert first.startswith("train_initial: ") and first.endswith("machine.yaml: zero_stage: 3")


def test_gpus_that_cannot_share_the_heads_are_named() -> None:
    found = misfits("qwen2.5-7b-17k-pb", gpus("h100", 8), Machine(zero_stage=3))  # all 8, and 28 heads
    assert found[0] == (
        "sample_traces@posterior-*: 8 GPUs cannot share 28 heads and 4 of keys and values, or are not there: "
        "machine.yaml: tensor_parallel: 4"
    )


def test_a_model_too_large_for_one_gpu_is_split_over_more() -> None:
    found = misfits("qwen2.5-32b-17k-pa", gpus("h100", 8), Machine(zero_stage=3, tensor_parallel=1))
    line = next(line for line in found if line.startswith("evaluate@"))  # 131 GB in float32
    assert line.endswith("machine.yaml: tensor_parallel: 8")


def test_a_small_machine_has_no_room_for_a_real_model() -> None:
    found = misfits("smollm2-135m-gsm-symbolic", Hardware(None, 0, 2, 2e9), Machine(max_sequences=64))
    assert any(line.startswith("train_initial: ") for line in found)
    assert any("kv_cache_gib" in line for line in found)


def test_a_cache_too_small_for_one_text_names_its_size() -> None:
    found = misfits(
        "smollm2-135m-gsm-symbolic", Hardware(None, 0, 2, 64e9), Machine(kv_cache_gib=1), sample_traces__max_tokens=8000
    )
    assert found == []  # 8,192 tokens of 46,080 bytes are 0.35 GiB
    on = Hardware(None, 0, 2, 640e9)
    found = misfits("qwen3-8b-17k", on, Machine(kv_cache_gib=1))
    assert any(line.endswith("one text's keys and values: machine.yaml: kv_cache_gib: 5") for line in found)


def test_the_disk_has_to_hold_tables_models_and_two_checkpoints() -> None:
    planned = run("miniature")
    needed = disk.of_run(work.stages(planned), planned.shape)
    assert needed.models == 4 * 4 * planned.shape.weights  # base, initial, posterior, final
    assert needed.checkpoints == 2 * 16 * planned.shape.weights
    assert needed.copied == needed.linked + needed.tables + needed.models
    on = Hardware(None, 0, 2, 16e9)
    assert misfits("miniature", on, Machine(), free=needed.linked + 1) == []
    (line,) = misfits("miniature", on, Machine(), free=1e6)
    assert line.startswith("disk: ")
