"""vr/scoring.py against plain full-softmax forwards of the same model, and numbers worked out by hand."""

import math
import multiprocessing
import random
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from conftest import make_model, new_model
from transformers import AutoModelForCausalLM

from vr.engines.scoring import forward, scorer
from vr.renderers.renderer import Example
from vr.settings.machine import Machine
from vr.tables import parquet, schemas


def make_rows(count: int, seed: int = 0) -> list[Example]:
    """Rows of 12 to 90 random ids, every other one without an answer."""
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        begin, trace, lead, answer = rng.randint(1, 20), rng.randint(5, 40), rng.randint(1, 4), rng.randint(1, 20)
        ids = [rng.randrange(300) for _ in range(begin + trace + lead + answer + 1)]
        spans = (begin, begin + trace), (begin + trace + lead, begin + trace + lead + answer)
        rows.append(Example(ids, begin, spans[0], spans[1] if n % 2 else None))
    return rows


def score_rows(
    model: str | Path, rows: Sequence[Example], *, token_logps: bool = True, **machine: Any
) -> list[forward.Score]:
    """One block, scored by a scorer of its own."""
    with scorer.scorer(model, Machine(**machine)) as scorer:
        return scorer(rows, token_logps)


def plain_logps(model: Path, row: Example) -> list[float]:
    """log p of ids[1:], by one unbatched forward and a softmax over everything; the first entry is a filler."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        logps_TV = loaded(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return [math.nan, *(float(logps_TV[t - 1, row.ids[t]]) for t in range(1, len(row.ids)))]


def assert_same(left: list[forward.Score], right: list[forward.Score]) -> None:
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
    for row, score in zip(rows, score_rows(model, rows), strict=True):
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
    row = Example([0, 0, 1, 1, 0, 1], trained_from=1, trace=(1, 4), answer=(4, 6))
    (score,) = score_rows(tmp_path, [row])
    # trace 0 1 1 after 0: p(0|0) p(1|0) p(1|1) = 3/4 * 1/4 * 1/10; answer 0 1: p(0|1) p(1|0) = 9/10 * 1/4
    assert score.trace_logps == pytest.approx([math.log(3 / 4), math.log(1 / 4), math.log(1 / 10)], abs=1e-5)
    assert score.trace_logp_sum == pytest.approx(math.log(3 / 160), abs=1e-5)
    assert score.answer_logp_sum == pytest.approx(math.log(9 / 40), abs=1e-5)


def test_scores_do_not_depend_on_the_token_budget(tiny_model: Path) -> None:
    rows = make_rows(40)
    one_by_one = score_rows(tiny_model, rows, score_tokens=1)
    for budget in (100, 333, 100_000):
        batched = score_rows(tiny_model, rows, score_tokens=budget)
        assert_same(batched, one_by_one)


def test_scores_come_in_the_order_of_the_rows(tiny_model: Path) -> None:
    rows = make_rows(30)
    order = random.Random(1).sample(range(30), 30)
    scores = score_rows(tiny_model, rows, score_tokens=500)
    shuffled = score_rows(tiny_model, [rows[n] for n in order], score_tokens=500)
    assert_same(shuffled, [scores[n] for n in order])


def test_padding_beside_a_much_longer_row_has_no_influence(tiny_model: Path) -> None:
    short, long = Example([5, 6, 7, 8], 1, (1, 4)), Example(list(range(200)), 1, (1, 200))
    alone = score_rows(tiny_model, [short])
    beside = score_rows(tiny_model, [long, short], score_tokens=1000)
    assert_same(beside[1:], alone)


def test_answer_and_trace_from_one_forward_equal_each_by_itself(tiny_model: Path) -> None:
    rows = [row for row in make_rows(20) if row.answer is not None]
    both = score_rows(tiny_model, rows)
    traces = score_rows(tiny_model, [replace(r, answer=None) for r in rows])
    answers = score_rows(
        tiny_model,
        [Example(r.ids, 1, r.answer) for r in rows if r.answer],
    )
    for score, trace, answer in zip(both, traces, answers, strict=True):
        assert score.trace_logps == pytest.approx(trace.trace_logps, abs=1e-5)
        assert score.answer_logp_sum == pytest.approx(answer.trace_logp_sum, abs=1e-4)
        assert score.answer_tokens == answer.trace_tokens


def test_what_follows_the_last_span_has_no_influence(tiny_model: Path) -> None:
    row = Example(list(range(30)), 1, (5, 20))
    assert_same(
        score_rows(tiny_model, [row]),
        score_rows(tiny_model, [replace(row, ids=[*range(20), *[7] * 10])]),
    )


def test_a_row_longer_than_the_model_is_left_unscored_and_counted(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Example([1] * 512, 1, (1, 500), (501, 512)), Example([1] * 513, 1, (1, 500), (501, 512))]
    fits, too_long = score_rows(tiny_model, rows)
    assert fits.trace_logp_sum is not None and fits.answer_logp_sum is not None
    assert too_long == forward.Score(None, 499, None, None, None)
    assert "1 of 2 rows are longer than 512 tokens" in caplog.text


def test_an_empty_span_has_sum_zero(tiny_model: Path) -> None:
    rows = [Example([1, 2, 3], 1, (2, 2)), Example([1, 2, 3], 1, (0, 0)), Example([1, 2, 3], 1, (1, 3))]
    scores = score_rows(tiny_model, rows)
    assert scores[0] == scores[1] == forward.Score(0.0, 0, None, None, [])
    assert scores[2].trace_tokens == 2
    assert score_rows(tiny_model, rows[:2], token_logps=False)[0].trace_logp_sum == 0.0


@pytest.mark.parametrize("machine", [Machine(), Machine(score_ranks=2)])
def test_a_scorer_without_rows_loads_nothing(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    monkeypatch.setattr(logps, "load", lambda *_: pytest.fail("loaded"))
    with scorer.scorer(tiny_model, machine) as scorer:
        assert scorer([], False) == []
        assert multiprocessing.active_children() == []


def test_a_scorer_loads_once_and_blocks_do_not_influence_each_other(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = forward.load
    monkeypatch.setattr(logps, "load", lambda *given: loads.append(given) or load(*given))
    rows = make_rows(20)
    with scorer.scorer(tiny_model, Machine()) as scorer:
        blocks = [scorer(rows[:7], True), scorer([], True), scorer(rows[7:], True)]
    assert len(loads) == 1
    assert blocks == [score_rows(tiny_model, rows[:7]), [], score_rows(tiny_model, rows[7:])]


def test_traces_are_scored_in_whole_blocks_whichever_of_them_are_missing() -> None:
    traces = pl.DataFrame({"problem_id": list("abcde"), "seed": [3] * 5})
    blocks: list[list[str]] = []

    def rows_of(block: pl.DataFrame) -> list[Example]:
        blocks.append(block["problem_id"].to_list())
        return [Example([ord(problem_id)], 1, (1, 1)) for problem_id in blocks[-1]]

    def score(rows: Sequence[Example], token_logps: bool) -> list[forward.Score]:
        assert not token_logps
        return [forward.Score(-float(row.ids[0]), 1, None, None, None) for row in rows]

    found = dict(scorer.score_traces(score, traces, rows_of, [3, 4], 2, False))
    assert blocks == [["c", "d"], ["e"]]
    assert list(found) == [3, 4]
    assert found[3] == {"problem_id": "d", "seed": 3, **asdict(forward.Score(-100.0, 1, None, None, None))}


SAMPLED = pl.DataFrame(
    {"problem_id": ["a", "b"], "seed": [0, 0], "trace_ids": [[1, 2, 3], []], "trace_logps": [[-0.5, -1.0, -0.25], []]},
    schema_overrides={"trace_logps": pl.List(pl.Float32)},
)


def test_the_samplers_own_log_probs_make_the_same_table() -> None:
    for token_logps in (True, False):
        frame = scorer.sampled_logps(SAMPLED, token_logps)
        assert frame["trace_logp_sum"].to_list() == [-1.75, 0.0]
        assert frame["trace_tokens"].to_list() == [3, 0]
        assert frame["answer_tokens"].null_count() == 2
        assert frame["trace_logps"].null_count() == (0 if token_logps else 2)
        parquet.validate(frame, schemas.Logps, "logps")


@pytest.mark.parametrize("logps", [None, [-0.5, -1.0]])
def test_a_trace_without_the_log_prob_of_every_token_is_named(logps: list[float] | None) -> None:
    lists = pl.Series([logps, []], dtype=pl.List(pl.Float32))
    with pytest.raises(ValueError, match=r"1 without the log-prob of every token, the first: \{'problem_id': 'a'"):
        scorer.sampled_logps(SAMPLED.with_columns(trace_logps=lists), False)


def test_differences_between_sampler_and_scorer_are_those_of_single_tokens() -> None:
    scores = [forward.Score(-1.0, 3, None, None, [-0.5, -1.25, 0.0]), forward.Score(None, 9, None, None, None)]
    assert scorer.differences(SAMPLED["trace_logps"], scores) == {
        "compared_traces": 2,
        "compared_tokens": 3,
        "mean_abs_difference_nats": pytest.approx((0 + 0.25 + 0.25) / 3),
        "max_abs_difference_nats": 0.25,
    }


def test_more_ranks_than_gpus_are_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "gpus", lambda: 2)
    with pytest.raises(ValueError, match="score_ranks = 3: this machine has 2 GPUs"):
        score_rows(tiny_model, make_rows(1), score_ranks=3)


def test_token_logps_are_left_out_unless_asked_for(tiny_model: Path) -> None:
    assert score_rows(tiny_model, make_rows(1), token_logps=False)[0].trace_logps is None


@pytest.mark.parametrize("span", [(0, 2), (2, 4), (3, 2), (-1, 2)])
def test_a_span_that_cannot_be_scored_is_an_error(tiny_model: Path, span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="row 1: span"):
        score_rows(tiny_model, [Example([1, 2, 3], 1, (1, 3)), Example([1, 2, 3], 1, span)], token_logps=False)


def test_a_missing_model_is_named() -> None:
    with (
        pytest.raises(FileNotFoundError, match="models/nowhere: no such model"),
        scorer.scorer("models/nowhere", Machine()),
    ):
        pytest.fail("it has to be said before there are rows")


def test_a_model_that_rescales_its_logits_is_refused(tmp_path: Path) -> None:
    model = new_model(vocabulary=10, tied=True)
    model.config.final_logit_softcapping = 30.0
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"final_logit_softcapping = 30\.0"):
        score_rows(tmp_path, make_rows(1), token_logps=False)


def test_batches_keep_the_budget_and_every_row_once() -> None:
    rng = random.Random(0)
    lengths = {n: rng.randint(1, 120) for n in range(200)}
    made = list(scorer.batches(lengths, 100))
    assert sorted(n for batch in made for n in batch) == list(range(200))
    for batch in made:
        assert len(batch) * max(lengths[n] for n in batch) <= 100 or len(batch) == 1
