"""The likelihood terms, with values worked out by hand."""

from math import log

import polars as pl
import pytest

from vr.method import likelihood
from vr.tables.vocabulary import TRACE_KEY


def logps(*rows: tuple[float | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"problem_id": "q", "seed": i, "answer_logp_sum": s, "answer_tokens": n} for i, (s, n) in enumerate(rows)],
        schema_overrides={"answer_logp_sum": pl.Float64, "answer_tokens": pl.Int32},
    )


def test_gml_is_the_mean_log_prob_of_the_reference_answer_and_l_its_sum():
    frame = logps((-6.0, 3), (-1.0, 4))
    assert likelihood.reference_likelihood(frame, "gml")["log_likelihood"].to_list() == [-2.0, -0.25]
    assert likelihood.reference_likelihood(frame, "l")["log_likelihood"].to_list() == [-6.0, -1.0]
    assert likelihood.reference_likelihood(frame, "uniform")["log_likelihood"].to_list() == [0.0, 0.0]


def test_an_answer_that_could_not_be_scored_has_no_likelihood():
    frame = likelihood.reference_likelihood(logps((None, None)), "gml")
    assert frame.select("log_likelihood", "reason").row(0) == (None, "unscored")


def answers_and_verdicts(outcomes: dict[int, list[str]]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    rows = [
        {"problem_id": "q", "seed": seed, "sample": i, "outcome": outcome, "answer_ids": [100 * seed + i]}
        for seed, of_trace in outcomes.items()
        for i, outcome in enumerate(of_trace)
    ]
    frame = pl.DataFrame(rows).cast({"seed": pl.Int32, "sample": pl.Int32})
    seeds = pl.Series("seed", list(outcomes), pl.Int32)
    traces = pl.select(seed=seeds).select(problem_id=pl.lit("q"), seed="seed", finish=pl.lit("marker"))
    return traces, frame.select(*TRACE_KEY, "sample", "outcome"), frame.select(*TRACE_KEY, "sample", "answer_ids")


def test_accuracy_is_over_judged_answers_only():
    # 1 right of 4 judged; of 2 judged; none right; none judged
    found = likelihood.accuracy(
        *answers_and_verdicts(
            {
                0: ["correct", "wrong", "no_answer", "wrong"],
                1: ["correct", "wrong", "timeout", "crashed"],
                2: ["wrong", "no_answer", "timeout", "wrong"],
                3: ["timeout", "crashed", "unparsable_reference", "not_run"],
            }
        ),
        seed=0,
    )
    assert found["log_likelihood"].to_list() == [log(1 / 4), log(1 / 2), None, None]
    assert found["reason"].to_list() == ["", "", "none_correct", "none_judged"]


def test_a_traces_answer_is_one_of_its_correct_ones_and_not_always_the_first():
    outcomes = {seed: ["wrong", "correct", "correct", "wrong", "correct"] for seed in range(60)}
    found = likelihood.accuracy(*answers_and_verdicts(outcomes), seed=0)
    positions = [ids[0] - 100 * seed for seed, ids in found.select("seed", "answer_ids").iter_rows()]
    assert set(positions) == {1, 2, 4}
    assert min(positions.count(p) for p in (1, 2, 4)) > 8  # 20 each expected
    again = likelihood.accuracy(*answers_and_verdicts(outcomes), seed=1)
    assert again["answer_ids"].to_list() != found["answer_ids"].to_list()


def test_the_answer_drawn_for_a_trace_does_not_depend_on_the_other_traces():
    outcomes = {seed: ["correct"] * 8 for seed in range(4)}
    whole = likelihood.accuracy(*answers_and_verdicts(outcomes), seed=0)
    part = likelihood.accuracy(*answers_and_verdicts({3: outcomes[3]}), seed=0)
    assert part["answer_ids"].to_list() == whole["answer_ids"].to_list()[3:]


def test_verdicts_meet_their_answers_by_key_in_whatever_order_they_come():
    traces, verdicts, answers = answers_and_verdicts({0: ["wrong", "correct"], 1: ["wrong", "wrong"]})
    found = likelihood.accuracy(traces, verdicts.reverse(), answers, seed=0)
    assert found["answer_ids"].to_list() == [[1], None]


def test_a_lost_verdict_or_a_trace_without_answers_is_an_error():
    traces, verdicts, answers = answers_and_verdicts({0: ["correct", "wrong"], 1: ["wrong"]})
    with pytest.raises(ValueError, match=r"answers: 1 key.*'sample': 1"):
        likelihood.accuracy(traces, verdicts.filter(pl.col("sample") == 0), answers, seed=0)
    with pytest.raises(ValueError, match=r"answers: 1 trace.*'seed': 1"):
        likelihood.accuracy(traces, verdicts.filter(seed=0), answers.filter(seed=0), seed=0)


def test_an_unfinished_trace_needs_no_answers():
    traces, verdicts, answers = answers_and_verdicts({0: ["correct"], 1: ["wrong"]})
    traces = traces.with_columns(finish=pl.Series(["marker", "length"]))
    found = likelihood.accuracy(traces, verdicts.filter(seed=0), answers.filter(seed=0), seed=0)
    assert found["reason"].to_list() == ["", "none_judged"]


def test_an_estimator_without_reference_likelihood_is_refused():
    with pytest.raises(ValueError, match=r"estimator = 'acc': not one of gml, l, uniform"):
        likelihood.reference_likelihood(logps((-1.0, 1)), "acc")
