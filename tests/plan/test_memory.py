"""Bytes of a process, worked out by hand from the formulas."""

import pytest
from planned import SMALL, clock, gpus

from vr.engines.training.layout import Layout
from vr.plan import memory
from vr.plan.shapes import PUBLISHED
from vr.plan.work import Drawing, Scoring, Tables, Training

LAYER = 8 * 4 + 2 * (2 + 1) * 2 + 4 * 6
"""Numbers of a token in a layer of the small model."""


def training(layout: Layout, trained: int = 300, precision: str = "fp32") -> memory.Memory:
    return memory.training(Training(layout, 10, 20, 40, precision, trained, 1.0), SMALL)


def test_a_training_on_a_cpu_keeps_20_bytes_a_weight_and_the_activations_of_all_layers() -> None:
    held = training(Layout(1, 2, 1, 2, gpu=False))
    assert (held.weights, held.gradients, held.optimizer) == (4 * 300, 4 * 300, 12 * 300)
    assert held.activations == 4 * (2 * 40) * 2 * LAYER  # two rows of 40 tokens, two layers
    assert held.logits == 2 * 4 * 80 * 10 + 3 * 4 * 80 * 10
    assert held.total == held.weights + held.gradients + held.optimizer + held.activations + held.logits + 2**29


def test_zero_divides_what_its_stage_says_by_the_ranks() -> None:
    one, two, three = (training(Layout(4, 1, 1, zero, gpu=False)) for zero in (1, 2, 3))
    assert [one.optimizer, two.optimizer, three.optimizer] == [12 * 300 / 4] * 3
    assert [one.gradients, two.gradients, three.gradients] == [4 * 300, 4 * 300 / 4, 4 * 300 / 4]
    assert [one.weights, two.weights, three.weights] == [4 * 300, 4 * 300, 4 * 300 / 4]


def test_with_adapters_only_they_have_gradients_and_moments() -> None:
    held = training(Layout(1, 1, 1, 2, gpu=False), trained=50)
    assert (held.weights, held.gradients, held.optimizer) == (4 * 300, 4 * 50, 12 * 50)


def test_checkpointing_keeps_each_layer_s_input_and_one_layer() -> None:
    held = training(Layout(1, 1, 1, 2, gpu=True), precision="bf16")
    assert held.activations == 2 * 40 * (2 * 4 + LAYER)
    assert held.weights == 2 * 300 + 2 * 2 * 300  # and two buckets, no larger than the model


def test_an_8b_model_keeps_18_bytes_a_weight_over_8_gpus_under_zero_3() -> None:
    eight = PUBLISHED["Qwen/Qwen3-8B-Base"]
    layout = Layout(8, 1, 12, 3, gpu=True)
    held = memory.training(Training(layout, 1, 5000, 16_384, "bf16", eight.weights, 3.0), eight)
    assert held.weights - 2 * (2 * 5e8 + 1e9) == pytest.approx(2 * eight.weights / 8)
    assert held.weights + held.gradients + held.optimizer == pytest.approx(18 * eight.weights / 8 + 4e9)
    assert held.logits == 2 * 2 * 16_384 * 151_936 + 3 * 4 * 2**26


def test_a_gpu_gives_vllm_its_share_and_a_cpu_the_cache_that_a_full_batch_needs() -> None:
    work = Drawing(100, 100, 10, 20, 30, "fp32", judged=False, programs=0)
    on_gpu = memory.drawing(work, clock(on=gpus("h100", 1), gpu_memory=0.5))
    assert on_gpu.total == pytest.approx(40e9)
    on_cpu = memory.drawing(work, clock(max_sequences=8))
    assert on_cpu.cache == 8 * 100 * SMALL.kv_bytes(4)  # 100 positions
    assert on_cpu.weights == 1200


def test_scoring_holds_the_weights_and_shares_them_under_zero_3() -> None:
    work = Scoring(100, 20, "bf16")
    held = memory.scoring(work, clock(score_tokens=64))
    assert (held.weights, held.activations) == (600, 2 * 2 * 64 * LAYER)
    assert held.logits == 3 * 4 * 256 * 10  # a tile of 256 positions, and no more than the vocabulary
    assert memory.scoring(work, clock(score_ranks=2, score_zero3=True)).weights == 300
    assert memory.of_work(Tables(), clock()) is None
