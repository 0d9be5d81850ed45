"""vr/scoring.py against plain full-softmax forwards of the same model, and numbers worked out by hand."""

import math
import random
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_model, new_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from vr import scoring
from vr.machine import Machine
from vr.tokens import Row


def make_rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of 12 to 90 random ids, every other one without an answer."""
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        begin, trace, lead, answer = rng.randint(1, 20), rng.randint(5, 40), rng.randint(1, 4), rng.randint(1, 20)
        ids = [rng.randrange(300) for _ in range(begin + trace + lead + answer + 1)]
        spans = (begin, begin + trace), (begin + trace + lead, begin + trace + lead + answer)
        rows.append(Row(ids, begin, spans[0], spans[1] if n % 2 else None))
    return rows


def plain_logps(model: Path, row: Row) -> list[float]:
    """log p of ids[1:], by one unbatched forward and a softmax over everything; the first entry is a filler."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        logps_TV = loaded(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return [math.nan, *(float(logps_TV[t - 1, row.ids[t]]) for t in range(1, len(row.ids)))]


def assert_same(left: list[scoring.Score], right: list[scoring.Score]) -> None:
    for a, b in zip(left, right, strict=True):
        assert astuple(a)[1::2] == astuple(b)[1::2]  # counts
        assert a.trace_logp_sum == pytest.approx(b.trace_logp_sum, abs=1e-4)
        assert a.answer_logp_sum == pytest.approx(b.answer_logp_sum, abs=1e-4)
        assert a.trace_logps == pytest.approx(b.trace_logps, abs=1e-5)


@pytest.fixture(scope="module")
def untied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("untied"), "special", tied=False)


@pytest.mark.parametrize("tied", [True, False])
def test_scores_equal_a_plain_full_softmax_forward(tiny_model: Path, untied_model: Path, tied: bool) -> None:
    model, rows = tiny_model if tied else untied_model, make_rows(12)
    for row, score in zip(rows, scoring.score(model, rows, machine=Machine(), token_logps=True), strict=True):
        expected = plain_logps(model, row)
        trace = expected[slice(*row.trace)]
        assert score.trace_logps == pytest.approx(trace, abs=1e-5)
        assert score.trace_logp_sum == pytest.approx(sum(trace), abs=1e-5 * len(trace))
        assert score.trace_tokens == len(trace)
        if row.answer is None:
            assert score.answer_logp_sum is None and score.answer_tokens is None
        else:
            answer = expected[slice(*row.answer)]
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
    row = Row([0, 0, 1, 1, 0, 1], trained_from=1, trace=(1, 4), answer=(4, 6))
    (score,) = scoring.score(tmp_path, [row], machine=Machine(), token_logps=True)
    # trace 0 1 1 after 0: p(0|0) p(1|0) p(1|1) = 3/4 * 1/4 * 1/10; answer 0 1: p(0|1) p(1|0) = 9/10 * 1/4
    assert score.trace_logps == pytest.approx([math.log(3 / 4), math.log(1 / 4), math.log(1 / 10)], abs=1e-5)
    assert score.trace_logp_sum == pytest.approx(math.log(3 / 160), abs=1e-5)
    assert score.answer_logp_sum == pytest.approx(math.log(9 / 40), abs=1e-5)


def test_scores_do_not_depend_on_the_token_budget(tiny_model: Path) -> None:
    rows = make_rows(40)
    one_by_one = scoring.score(tiny_model, rows, machine=Machine(score_tokens=1), token_logps=True)
    for budget in (100, 333, 100_000):
        batched = scoring.score(tiny_model, rows, machine=Machine(score_tokens=budget), token_logps=True)
        assert_same(batched, one_by_one)


def test_scores_come_in_the_order_of_the_rows(tiny_model: Path) -> None:
    rows = make_rows(30)
    order = random.Random(1).sample(range(30), 30)
    scores = scoring.score(tiny_model, rows, machine=Machine(score_tokens=500), token_logps=True)
    shuffled = scoring.score(tiny_model, [rows[n] for n in order], machine=Machine(score_tokens=500), token_logps=True)
    assert_same(shuffled, [scores[n] for n in order])


def test_padding_beside_a_much_longer_row_has_no_influence(tiny_model: Path) -> None:
    short, long = Row([5, 6, 7, 8], 1, (1, 4)), Row(list(range(200)), 1, (1, 200))
    alone = scoring.score(tiny_model, [short], machine=Machine(), token_logps=True)
    beside = scoring.score(tiny_model, [long, short], machine=Machine(score_tokens=1000), token_logps=True)
    assert_same(beside[1:], alone)


def test_answer_and_trace_from_one_forward_equal_each_by_itself(tiny_model: Path) -> None:
    rows = [row for row in make_rows(20) if row.answer is not None]
    both = scoring.score(tiny_model, rows, machine=Machine(), token_logps=True)
    traces = scoring.score(tiny_model, [replace(r, answer=None) for r in rows], machine=Machine(), token_logps=True)
    answers = scoring.score(
        tiny_model, [Row(r.ids, 1, r.answer) for r in rows if r.answer], machine=Machine(), token_logps=True
    )
    for score, trace, answer in zip(both, traces, answers, strict=True):
        assert score.trace_logps == pytest.approx(trace.trace_logps, abs=1e-5)
        assert score.answer_logp_sum == pytest.approx(answer.trace_logp_sum, abs=1e-4)
        assert score.answer_tokens == answer.trace_tokens


def test_what_follows_the_last_span_has_no_influence(tiny_model: Path) -> None:
    row = Row(list(range(30)), 1, (5, 20))
    assert_same(
        scoring.score(tiny_model, [row], machine=Machine(), token_logps=True),
        scoring.score(tiny_model, [replace(row, ids=[*range(20), *[7] * 10])], machine=Machine(), token_logps=True),
    )


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_no_tensor_grows_with_tokens_times_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, tokens = 20_000, 400
    model = new_model(vocabulary, tied=True)
    row = Row([n % vocabulary for n in range(tokens)], 1, (1, tokens))
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", 10 * vocabulary)
    with Largest() as largest:
        scoring._score_batch(model, [row], False)
    assert largest.elements == 10 * vocabulary < tokens * vocabulary


def test_chunks_do_not_change_the_scores(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(10)
    whole = scoring.score(tiny_model, rows, machine=Machine(), token_logps=True)
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", 7 * 311)
    assert_same(scoring.score(tiny_model, rows, machine=Machine(), token_logps=True), whole)


def test_a_row_longer_than_the_model_is_left_unscored_and_counted(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Row([1] * 512, 1, (1, 500), (501, 512)), Row([1] * 513, 1, (1, 500), (501, 512))]
    fits, too_long = scoring.score(tiny_model, rows, machine=Machine(), token_logps=True)
    assert fits.trace_logp_sum is not None and fits.answer_logp_sum is not None
    assert too_long == scoring.Score(None, 499, None, None, None)
    assert "1 of 2 rows are longer than 512 tokens" in caplog.text


def test_an_empty_span_has_sum_zero(tiny_model: Path) -> None:
    rows = [Row([1, 2, 3], 1, (2, 2)), Row([1, 2, 3], 1, (0, 0)), Row([1, 2, 3], 1, (1, 3))]
    scores = scoring.score(tiny_model, rows, machine=Machine(), token_logps=True)
    assert scores[0] == scores[1] == scoring.Score(0.0, 0, None, None, [])
    assert scores[2].trace_tokens == 2
    assert scoring.score(tiny_model, rows[:2], machine=Machine())[0].trace_logp_sum == 0.0


def test_no_rows_give_no_scores(tiny_model: Path) -> None:
    assert scoring.score(tiny_model, [], machine=Machine()) == []


def test_token_logps_are_left_out_unless_asked_for(tiny_model: Path) -> None:
    assert scoring.score(tiny_model, make_rows(1), machine=Machine())[0].trace_logps is None


@pytest.mark.parametrize("span", [(0, 2), (2, 4), (3, 2), (-1, 2)])
def test_a_span_that_cannot_be_scored_is_an_error(tiny_model: Path, span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="row 1: span"):
        scoring.score(tiny_model, [Row([1, 2, 3], 1, (1, 3)), Row([1, 2, 3], 1, span)], machine=Machine())


def test_a_missing_model_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="models/nowhere: no such model"):
        scoring.score("models/nowhere", make_rows(1), machine=Machine())


def test_a_model_that_rescales_its_logits_is_refused(tmp_path: Path) -> None:
    model = new_model(vocabulary=10, tied=True)
    model.config.final_logit_softcapping = 30.0
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"final_logit_softcapping = 30\.0"):
        scoring.score(tmp_path, make_rows(1), machine=Machine())


def test_batches_keep_the_budget_and_every_row_once() -> None:
    rng = random.Random(0)
    lengths = {n: rng.randint(1, 120) for n in range(200)}
    made = list(scoring.batches(lengths, 100))
    assert sorted(n for batch in made for n in batch) == list(range(200))
    for batch in made:
        assert len(batch) * max(lengths[n] for n in batch) <= 100 or len(batch) == 1
