"""vr/engines/scoring/sampler_logps.py on small tables, with numbers worked out by hand."""

from collections.abc import Sequence

import polars as pl
import pytest

from vr.engines.scoring import sampler_logps
from vr.engines.scoring.forward import Score
from vr.renderers.example import Example
from vr.tables import parquet, schemas

SAMPLED = pl.DataFrame(
    {"problem_id": ["a", "b"], "seed": [0, 0], "trace_ids": [[1, 2, 3], []], "trace_logps": [[-0.5, -1.0, -0.25], []]},
    schema_overrides={"trace_logps": pl.List(pl.Float32)},
)


def test_the_samplers_own_log_probs_make_the_same_table() -> None:
    for token_logps in (True, False):
        frame = sampler_logps.as_logps(SAMPLED, token_logps=token_logps)
        assert frame["trace_logp_sum"].to_list() == [-1.75, 0.0]
        assert frame["trace_tokens"].to_list() == [3, 0]
        assert frame["answer_tokens"].null_count() == 2
        assert frame["trace_logps"].null_count() == (0 if token_logps else 2)
        parquet.validate(frame, schemas.Logps, "logps")


@pytest.mark.parametrize("logps", [None, [-0.5, -1.0]])
def test_a_trace_without_the_log_prob_of_every_token_is_named(logps: list[float] | None) -> None:
    lists = pl.Series([logps, []], dtype=pl.List(pl.Float32))
    with pytest.raises(ValueError, match=r"1 without the log-prob of every token, the first: \{'problem_id': 'a'"):
        sampler_logps.as_logps(SAMPLED.with_columns(trace_logps=lists), token_logps=False)


def test_differences_between_sampler_and_scorer_are_those_of_single_tokens() -> None:
    scores = [Score(-1.0, 3, None, None, [-0.5, -1.25, 0.0]), Score(None, 9, None, None, None)]
    assert sampler_logps.compare(lambda *_: scores, SAMPLED, lambda _: []) == {
        "compared_traces": 2,
        "compared_tokens": 3,
        "mean_abs_difference_nats": pytest.approx((0 + 0.25 + 0.25) / 3),
        "max_abs_difference_nats": 0.25,
    }


@pytest.mark.parametrize(("n_traces", "compared"), [(1, [0]), (64, list(range(64))), (256, list(range(0, 256, 4)))])
def test_some_traces_spread_over_the_whole_table_are_compared_with_the_scorer(
    n_traces: int, compared: list[int]
) -> None:
    def examples_of(block: pl.DataFrame) -> list[Example]:
        return [Example([seed], 1, (1, 1)) for seed in block["seed"]]

    def score(examples: Sequence[Example], token_logps: bool) -> list[Score]:
        assert token_logps and [example.ids[0] for example in examples] == compared
        return [Score(0.0, 0, None, None, [-1.0]) for _ in examples]

    traces = pl.DataFrame({"seed": range(n_traces), "trace_logps": [[-1.5]] * n_traces})
    assert sampler_logps.compare(score, traces, examples_of)["compared_tokens"] == len(compared)
