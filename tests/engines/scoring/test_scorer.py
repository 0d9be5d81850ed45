"""scorer.py against plain full-softmax forwards of the same model, and numbers worked out by hand."""

import math
import multiprocessing
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from scoring_examples import assert_same, make_examples, plain_logps, score_examples
from tiny_models import DAMAGED, damaged, make_model, new_model

from vr.engines.scoring import forward, scorer
from vr.renderers.example import Example
from vr.settings.machine import Machine


@pytest.fixture(scope="module")
def untied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("untied"), "special", tied=False)


@pytest.mark.parametrize("tied", [True, False])
def test_scores_equal_a_plain_full_softmax_forward(tiny_model: Path, untied_model: Path, tied: bool) -> None:
    model, examples = tiny_model if tied else untied_model, make_examples(12)
    for example, score in zip(examples, score_examples(model, examples), strict=True):
        expected = plain_logps(model, example)
        trace = expected[slice(*example.trace)]
        assert score.trace_logps == pytest.approx(trace, abs=1e-5)
        assert score.trace_logp_sum == pytest.approx(sum(trace), abs=1e-5 * len(trace))
        assert score.trace_tokens == len(trace)
        if example.answer is None:
            assert score.answer_logp_sum is None and score.answer_tokens is None
        else:
            answer = expected[slice(*example.answer)]
            assert score.answer_logp_sum == pytest.approx(sum(answer), abs=1e-5 * len(answer))
            assert score.answer_tokens == len(answer)


def test_scores_of_a_two_token_model_worked_out_by_hand(tmp_path: Path) -> None:
    # The layers add nothing: the state after token 0 is sqrt(32) * (1, 0, ...), after 1 sqrt(32) * (0, 1, 0, ...),
    # so the head's columns, times sqrt(32), are the logits of p(. | 0) = (3/4, 1/4) and p(. | 1) = (9/10, 1/10).
    model = new_model(vocabulary=2, tied=False)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(2, 32))
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, :2] = torch.tensor([[0.75, 0.9], [0.25, 0.1]]).log() / math.sqrt(32)
    model.save_pretrained(tmp_path)
    example = Example([0, 0, 1, 1, 0, 1], trained_from=1, trace=(1, 4), answer=(4, 6))
    (score,) = score_examples(tmp_path, [example])
    # trace 0 1 1 after 0: p(0|0) p(1|0) p(1|1) = 3/4 * 1/4 * 1/10; answer 0 1: p(0|1) p(1|0) = 9/10 * 1/4
    assert score.trace_logps == pytest.approx([math.log(3 / 4), math.log(1 / 4), math.log(1 / 10)], abs=1e-5)
    assert score.trace_logp_sum == pytest.approx(math.log(3 / 160), abs=1e-5)
    assert score.answer_logp_sum == pytest.approx(math.log(9 / 40), abs=1e-5)


def test_scores_do_not_depend_on_the_token_budget(tiny_model: Path) -> None:
    examples = make_examples(40)
    one_by_one = score_examples(tiny_model, examples, score_tokens=1)
    for budget in (100, 333, 100_000):
        batched = score_examples(tiny_model, examples, score_tokens=budget)
        assert_same(batched, one_by_one)


def test_scores_come_in_the_order_of_the_examples(tiny_model: Path) -> None:
    examples = make_examples(30)
    order = random.Random(1).sample(range(30), 30)
    scores = score_examples(tiny_model, examples, score_tokens=500)
    shuffled = score_examples(tiny_model, [examples[n] for n in order], score_tokens=500)
    assert_same(shuffled, [scores[n] for n in order])


def test_padding_beside_a_much_longer_example_has_no_influence(tiny_model: Path) -> None:
    short, long = Example([5, 6, 7, 8], 1, (1, 4)), Example(list(range(200)), 1, (1, 200))
    alone = score_examples(tiny_model, [short])
    beside = score_examples(tiny_model, [long, short], score_tokens=1000)
    assert_same(beside[1:], alone)


def test_answer_and_trace_from_one_forward_equal_each_by_itself(tiny_model: Path) -> None:
    examples = [example for example in make_examples(20) if example.answer is not None]
    both = score_examples(tiny_model, examples)
    traces = score_examples(tiny_model, [replace(r, answer=None) for r in examples])
    answers = score_examples(
        tiny_model,
        [Example(r.ids, 1, r.answer) for r in examples if r.answer],
    )
    for score, trace, answer in zip(both, traces, answers, strict=True):
        assert score.trace_logps == pytest.approx(trace.trace_logps, abs=1e-5)
        assert score.answer_logp_sum == pytest.approx(answer.trace_logp_sum, abs=1e-4)
        assert score.answer_tokens == answer.trace_tokens


def test_what_follows_the_last_span_has_no_influence(tiny_model: Path) -> None:
    example = Example(list(range(30)), 1, (5, 20))
    assert_same(
        score_examples(tiny_model, [example]),
        score_examples(tiny_model, [replace(example, ids=[*range(20), *[7] * 10])]),
    )


def test_an_example_longer_than_the_model_is_left_unscored_and_counted(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    examples = [Example([1] * 512, 1, (1, 500), (501, 512)), Example([1] * 513, 1, (1, 500), (501, 512))]
    fits, too_long = score_examples(tiny_model, examples)
    assert fits.trace_logp_sum is not None and fits.answer_logp_sum is not None
    assert too_long == forward.Score(None, 499, None, None, None)
    assert "1 of 2 examples are longer than 512 tokens" in caplog.text


def test_an_empty_span_has_sum_zero(tiny_model: Path) -> None:
    examples = [Example([1, 2, 3], 1, (2, 2)), Example([1, 2, 3], 1, (0, 0)), Example([1, 2, 3], 1, (1, 3))]
    scores = score_examples(tiny_model, examples)
    assert scores[0] == scores[1] == forward.Score(0.0, 0, None, None, [])
    assert scores[2].trace_tokens == 2
    assert score_examples(tiny_model, examples[:2], token_logps=False)[0].trace_logp_sum == 0.0


@pytest.mark.parametrize("machine", [Machine(), Machine(score_ranks=2)])
def test_a_scorer_without_examples_loads_nothing(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    monkeypatch.setattr(forward, "load", lambda *_: pytest.fail("loaded"))
    with scorer.scorer(tiny_model, "float32", machine) as score:
        assert score([], False) == []
        assert multiprocessing.active_children() == []


def test_a_scorer_loads_once_and_blocks_do_not_influence_each_other(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = forward.load
    monkeypatch.setattr(forward, "load", lambda *given: loads.append(given) or load(*given))
    examples = make_examples(20)
    with scorer.scorer(tiny_model, "float32", Machine()) as score:
        blocks = [score(examples[:7], True), score([], True), score(examples[7:], True)]
    assert len(loads) == 1
    assert blocks == [score_examples(tiny_model, examples[:7]), [], score_examples(tiny_model, examples[7:])]


def test_traces_are_scored_in_whole_blocks_whichever_of_them_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "BLOCK_ROWS", 2)
    traces = pl.DataFrame({"problem_id": list("abcde"), "seed": [3] * 5})
    blocks: list[list[str]] = []

    def examples_of(block: pl.DataFrame) -> list[Example]:
        blocks.append(block["problem_id"].to_list())
        return [Example([ord(problem_id)], 1, (1, 1)) for problem_id in blocks[-1]]

    def score(examples: Sequence[Example], token_logps: bool) -> list[forward.Score]:
        assert not token_logps
        return [forward.Score(-float(example.ids[0]), 1, None, None, None) for example in examples]

    found = dict(scorer.score_traces(score, traces, examples_of, [3, 4], token_logps=False))
    assert blocks == [["c", "d"], ["e"]]
    assert list(found) == [3, 4]
    assert found[3] == {"problem_id": "d", "seed": 3, **asdict(forward.Score(-100.0, 1, None, None, None))}


def test_more_ranks_than_gpus_are_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "gpus", lambda: 2)
    with pytest.raises(ValueError, match="score_ranks = 3: this machine has 2 GPUs"):
        score_examples(tiny_model, make_examples(1), score_ranks=3)


def test_bfloat16_computes_with_eight_bits_and_sums_in_float64(tiny_model: Path) -> None:
    examples = make_examples(6)
    exact, rounded = (score_examples(tiny_model, examples, precision=name) for name in ("float32", "bfloat16"))
    for one, other in zip(exact, rounded, strict=True):
        assert other.trace_logps != one.trace_logps
        assert other.trace_logps == pytest.approx(one.trace_logps, abs=0.1)  # logits of up to 10, rounded to 0.4 %
        assert other.trace_logp_sum == pytest.approx(sum(other.trace_logps or []), abs=1e-9)


def test_token_logps_are_left_out_unless_asked_for(tiny_model: Path) -> None:
    assert score_examples(tiny_model, make_examples(1), token_logps=False)[0].trace_logps is None


def with_weights(model: Path, out: Path, value: float, *names: str) -> Path:
    """A copy of the model in which one weight of each of these tensors has the value."""
    shutil.copytree(model, out)
    tensors = load_file(out / "model.safetensors")
    for name in names:
        tensors[name].view(-1)[7] = value
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_computes_no_numbers_is_an_error_at_once(tiny_model: Path, tmp_path: Path, value: float) -> None:
    model = with_weights(tiny_model, tmp_path / "model", value, "model.layers.0.self_attn.v_proj.weight")
    with pytest.raises(ValueError, match=r"example 0: .*model gives it no finite log-prob"):
        score_examples(model, make_examples(3), token_logps=False)


def test_a_model_that_lacks_a_tensor_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    # transformers would fill it with random numbers
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    tensors = load_file(model / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model: the weights lack 1 tensors .*, first model\.layers\.1\.mlp\.up_proj"):
        score_examples(model, make_examples(1))


def test_a_pickle_beside_weights_of_another_name_is_never_read(tiny_model: Path, tmp_path: Path) -> None:
    model, witness = Path(shutil.copytree(tiny_model, tmp_path / "model")), tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return open, (str(witness), "w")

    (model / "model.safetensors").rename(model / "other.safetensors")
    torch.save({"evil": Evil()}, model / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors there"):
        score_examples(model, make_examples(1))
    with pytest.raises(ValueError, match=r"cannot load it: .*no file named model\.safetensors"):
        forward.load(model, "float32", "cpu", 1)
    assert not witness.exists()


@pytest.mark.parametrize(("ids", "unknown"), [([1, 2, 311], 311), ([-1, 2, 3], -1), ([1, 10**12, 3], 10**12)])
def test_an_id_that_the_model_does_not_know_is_named_with_its_trace(
    tiny_model: Path, ids: list[int], unknown: int
) -> None:
    traces = pl.DataFrame({"problem_id": ["good", "bad"], "seed": [3, 4]})
    examples = [Example([1, 2, 310], 1, (1, 3)), Example(ids, 1, (1, 3))]
    with (
        scorer.scorer(tiny_model, "float32", Machine()) as score,
        pytest.raises(ValueError, match=rf"^traces: .*'bad', 'seed': 4}}: token id {unknown}, but .* has 311$"),
    ):
        list(scorer.score_traces(score, traces, lambda _: examples, [0, 1], token_logps=False))


@pytest.mark.parametrize("span", [(0, 2), (2, 4), (3, 2), (-1, 2)])
def test_a_span_that_cannot_be_scored_is_an_error(tiny_model: Path, span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="example 1: span"):
        score_examples(tiny_model, [Example([1, 2, 3], 1, (1, 3)), Example([1, 2, 3], 1, span)], token_logps=False)


@pytest.mark.parametrize("name", ["weights cut at the end", "half a config", "a pickle alone"])
def test_a_damaged_model_is_refused_before_the_first_example(tiny_model: Path, tmp_path: Path, name: str) -> None:
    model = damaged(tiny_model, tmp_path / "model", name)
    with (
        pytest.raises((ValueError, FileNotFoundError), match=re.escape(DAMAGED[name][1])),
        scorer.scorer(model, "float32", Machine()),
    ):
        pytest.fail("the error has to come before the first example")


def test_a_missing_model_is_named() -> None:
    with (
        pytest.raises(FileNotFoundError, match="models/nowhere: no such model"),
        scorer.scorer("models/nowhere", "float32", Machine()),
    ):
        pytest.fail("the error has to come before the first example")


def test_a_model_that_rescales_its_logits_is_refused(tmp_path: Path) -> None:
    model = new_model(vocabulary=300, tied=True)
    model.config.final_logit_softcapping = 30.0
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"final_logit_softcapping = 30\.0"):
        score_examples(tmp_path, make_examples(1), token_logps=False)


def test_batches_keep_the_budget_and_every_example_once() -> None:
    rng = random.Random(0)
    lengths = {n: rng.randint(1, 120) for n in range(200)}
    made = list(scorer.batches(lengths, 100))
    assert sorted(n for batch in made for n in batch) == list(range(200))
    for batch in made:
        assert len(batch) * max(lengths[n] for n in batch) <= 100 or len(batch) == 1
