"""The weights, with values worked out by hand."""

from math import exp, log

import polars as pl
import pytest

from vr.method import weights
from vr.tables import parquet, schemas

KEY = ["problem_id", "seed"]


def problem(name: str = "q", source: str = "s") -> pl.DataFrame:
    return pl.DataFrame({"problem_id": [name], "source": [source]})


def weigh(rows: list[dict], *, problems: pl.DataFrame | None = None, **options) -> pl.DataFrame:
    """Weigh traces given as dicts of what differs from a plain good trace of 2 tokens."""
    plain = {
        "problem_id": "q", "trace_tokens": 2, "finish": "marker", "pi": -2.0, "q": -2.0,
        "y": -1.0, "y_tokens": 2, "l": 0.0, "reason": "",
    }  # fmt: skip
    rows = [plain | {"seed": i} | row for i, row in enumerate(rows)]
    frame = pl.DataFrame(rows, schema_overrides={"seed": pl.Int32, "l": pl.Float64, "pi": pl.Float64, "q": pl.Float64})
    options = {
        "estimator": "acc",
        "seeds": sorted(frame["seed"].unique()),
        "ratio": True,
        "max_trace_tokens": 100,
        "weak_verifier_sources": [],
    } | options
    result = weights.weigh(
        problems if problems is not None else problem(),
        frame.select(*KEY, "trace_tokens", "finish"),
        frame.select(*KEY, "trace_tokens", trace_logp_sum="pi", answer_logp_sum="y", answer_tokens="y_tokens"),
        frame.select(*KEY, "trace_tokens", trace_logp_sum="q"),
        frame.select(*KEY, "reason", log_likelihood="l"),
        **options,
    )
    return parquet.validate(result, schemas.Weights, "weights")


def test_the_log_ratio_is_the_mean_over_the_tokens_of_the_trace():
    # (-6 - -2) / 4 = -1
    assert weigh([{"trace_tokens": 4, "pi": -6.0, "q": -2.0}])["log_ratio"].to_list() == [-1.0]


def test_rho_is_ratio_times_likelihood_normalised_over_the_question():
    # r = (-4+2)/2 = -1 and 0; acc = 1 and 1/2: rho = e^-1, 1/2
    result = weigh([{"pi": -4.0, "q": -2.0, "l": 0.0}, {"l": log(0.5)}])
    total = exp(-1) + 0.5
    assert result["weight"].to_list() == pytest.approx([exp(-1) / total, 0.5 / total], abs=1e-12)
    assert result["chosen"].to_list() == [False, True]


def test_without_the_ratio_only_the_likelihood_counts_but_the_ratio_is_recorded():
    result = weigh([{"pi": -40.0, "l": log(0.75)}, {"l": log(0.25)}], ratio=False)
    assert result["weight"].to_list() == pytest.approx([0.75, 0.25])
    assert result["log_ratio"].to_list() == [-19.0, 0.0]


def test_uniform_gives_every_trace_one_kth_whatever_its_ratio():
    result = weigh([{"pi": -40.0}, {"pi": -1.0}, {}, {}], estimator="uniform")
    assert result["weight"].to_list() == [0.25] * 4


def test_uniform_shares_among_the_usable_traces():
    result = weigh([{"finish": "length"}, {}, {}], estimator="uniform")
    assert result["weight"].to_list() == [0.0, 0.5, 0.5]


def test_ties_go_to_the_lowest_seed_in_whatever_order_the_rows_come():
    result = weigh([{"seed": 5}, {"seed": 3}, {"seed": 4, "pi": -9.0}])
    assert result.filter("chosen")["seed"].to_list() == [3]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"trace_tokens": 0, "pi": 0.0, "q": 0.0, "finish": "prompt_too_long"}, "empty"),
        ({"finish": "length"}, "truncated"),
        ({"finish": "eos"}, "truncated"),
        ({"trace_tokens": 101}, "too_long"),
        ({"pi": None}, "unscored"),
        ({"q": None}, "unscored"),
        ({"pi": float("nan")}, "unscored"),
        ({"q": float("-inf")}, "unscored"),
        ({"l": None, "reason": "none_correct"}, "none_correct"),
        ({"l": None, "reason": "none_judged"}, "none_judged"),
    ],
)
def test_a_trace_that_cannot_count_has_weight_zero_and_its_reason(row, reason):
    result = weigh([row, {}])
    assert result["weight"].to_list() == [0.0, 1.0]
    assert result["reason"].to_list() == [reason, ""]
    assert result["log_rho"].to_list() == [None, 0.0]


def test_a_question_whose_rho_are_all_zero_keeps_weight_zero_and_chooses_none():
    result = weigh([{"l": None, "reason": "none_correct"}, {"finish": "length"}])
    assert result["weight"].to_list() == [0.0, 0.0]
    assert not result["chosen"].any()


def test_extreme_log_probs_neither_overflow_nor_lose_the_question():
    # rho = exp(-5000) and exp(-5001): both underflow as numbers, their shares are 1/(1+1/e) and the rest
    result = weigh([{"l": -5000.0}, {"l": -5001.0}], estimator="l")
    assert result["weight"].to_list() == pytest.approx([1 / (1 + exp(-1)), exp(-1) / (1 + exp(-1))])
    result = weigh([{"pi": -1.0, "q": -9000.0}, {}])
    assert result["weight"].to_list() == [1.0, 0.0]


def test_a_weak_verifiers_question_takes_the_gml_weights_and_says_so():
    # gml: exp(r + y/|y|): r = 0; exp(-1/2), exp(-3/2)
    none = {"l": None, "reason": "none_correct"}
    rows = [none | {"y": -1.0}, none | {"y": -3.0}, none | {"finish": "length"}]
    result = weigh(rows, weak_verifier_sources=["s"])
    share = exp(-0.5) / (exp(-0.5) + exp(-1.5))
    assert result["weight"].to_list() == pytest.approx([share, 1 - share, 0.0])
    assert result["reason"].to_list() == ["weak_verifier", "weak_verifier", "truncated"]
    assert weigh(rows, weak_verifier_sources=["another"])["weight"].sum() == 0
    assert weigh([*rows, {}], weak_verifier_sources=["s"])["weight"].to_list() == [0.0, 0.0, 0.0, 1.0]


def test_only_the_named_seeds_count():
    result = weigh([{}, {}, {"pi": -1.0}], seeds=[0, 1])
    assert result["seed"].to_list() == [0, 1]
    assert result["weight"].to_list() == [0.5, 0.5]


def test_a_missing_trace_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"traces: 1 of 2 traces are missing.*'seed': 7"):
        weigh([{}], seeds=[0, 7])


def listed(*rows: tuple[float | None, int, list[float] | None]) -> pl.DataFrame:
    """tables.Logps of traces 0, 1, ... out of (trace_logp_sum, trace_tokens, trace_logps)."""
    return pl.DataFrame(
        [
            {"problem_id": "q", "seed": i, "trace_logp_sum": s, "trace_tokens": n, "trace_logps": of_tokens}
            for i, (s, n, of_tokens) in enumerate(rows)
        ],
        schema_overrides={"trace_logp_sum": pl.Float64, "trace_logps": pl.List(pl.Float32)},
    )


def test_sums_taken_anew_over_the_lists_are_the_scorers_sums():
    # -0.5 - 1.25 - 0.25 = -2; an empty trace: 0; a trace that could not be scored stays so
    whole = listed((-2.0, 3, [-0.5, -1.25, -0.25]), (0.0, 0, []), (None, 5, None), (-3.0, 1, [-3.0]))
    for pieces in ([whole], whole.iter_slices(1)):
        summed = pl.concat(weights.sums_of_lists(pieces))
        assert summed.equals(whole.drop("trace_logps"))


def test_lists_are_summed_in_more_digits_than_they_have():
    # 2^24 - 1 + 2 = 2^24 + 1, which float32 cannot hold
    (summed,) = weights.sums_of_lists([listed((-1.0, 2, [-(2.0**24 - 1), -2.0]))])
    assert summed["trace_logp_sum"].to_list() == [-(2.0**24 + 1)]


def test_a_list_of_another_length_than_the_trace_is_refused_with_its_key():
    with pytest.raises(ValueError, match=r"1 trace\(s\).*'seed': 1, 'trace_tokens': 3, 'n_logps': 2"):
        list(weights.sums_of_lists([listed((-1.0, 1, [-1.0]), (-2.0, 3, [-1.0, -1.0]))]))


def test_sums_of_lists_that_were_not_kept_are_refused_with_the_switch_that_keeps_them():
    with pytest.raises(ValueError, match=r"'seed': 0.*needs score_initial.token_logps and score_posterior"):
        list(weights.sums_of_lists([listed((-1.0, 1, None))]))


def logps(*rows: tuple[float | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"problem_id": "q", "seed": i, "answer_logp_sum": s, "answer_tokens": n} for i, (s, n) in enumerate(rows)],
        schema_overrides={"answer_logp_sum": pl.Float64, "answer_tokens": pl.Int32},
    )


def test_gml_is_the_mean_log_prob_of_the_reference_answer_and_l_its_sum():
    frame = logps((-6.0, 3), (-1.0, 4))
    assert weights.reference_likelihood(frame, "gml")["log_likelihood"].to_list() == [-2.0, -0.25]
    assert weights.reference_likelihood(frame, "l")["log_likelihood"].to_list() == [-6.0, -1.0]
    assert weights.reference_likelihood(frame, "uniform")["log_likelihood"].to_list() == [0.0, 0.0]


def test_an_answer_that_could_not_be_scored_has_no_likelihood():
    frame = weights.reference_likelihood(logps((None, None)), "gml")
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
    return traces, frame.select(*KEY, "sample", "outcome"), frame.select(*KEY, "sample", "answer_ids")


def test_accuracy_is_over_judged_answers_only():
    # 1 right of 4 judged; of 2 judged; none right; none judged
    found = weights.accuracy(
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
    found = weights.accuracy(*answers_and_verdicts(outcomes), seed=0)
    positions = [ids[0] - 100 * seed for seed, ids in found.select("seed", "answer_ids").iter_rows()]
    assert set(positions) == {1, 2, 4}
    assert min(positions.count(p) for p in (1, 2, 4)) > 8  # 20 each expected
    again = weights.accuracy(*answers_and_verdicts(outcomes), seed=1)
    assert again["answer_ids"].to_list() != found["answer_ids"].to_list()


def test_the_answer_drawn_for_a_trace_does_not_depend_on_the_other_traces():
    outcomes = {seed: ["correct"] * 8 for seed in range(4)}
    whole = weights.accuracy(*answers_and_verdicts(outcomes), seed=0)
    part = weights.accuracy(*answers_and_verdicts({3: outcomes[3]}), seed=0)
    assert part["answer_ids"].to_list() == whole["answer_ids"].to_list()[3:]


def test_verdicts_meet_their_answers_by_key_in_whatever_order_they_come():
    traces, verdicts, answers = answers_and_verdicts({0: ["wrong", "correct"], 1: ["wrong", "wrong"]})
    found = weights.accuracy(traces, verdicts.reverse(), answers, seed=0)
    assert found["answer_ids"].to_list() == [[1], None]


def test_a_lost_verdict_or_a_trace_without_answers_is_an_error():
    traces, verdicts, answers = answers_and_verdicts({0: ["correct", "wrong"], 1: ["wrong"]})
    with pytest.raises(ValueError, match=r"answers: 1 key.*'sample': 1"):
        weights.accuracy(traces, verdicts.filter(pl.col("sample") == 0), answers, seed=0)
    with pytest.raises(ValueError, match=r"answers: 1 trace.*'seed': 1"):
        weights.accuracy(traces, verdicts.filter(seed=0), answers.filter(seed=0), seed=0)


def test_an_unfinished_trace_needs_no_answers():
    traces, verdicts, answers = answers_and_verdicts({0: ["correct"], 1: ["wrong"]})
    traces = traces.with_columns(finish=pl.Series(["marker", "length"]))
    found = weights.accuracy(traces, verdicts.filter(seed=0), answers.filter(seed=0), seed=0)
    assert found["reason"].to_list() == ["", "none_judged"]


def test_effective_sample_size_counts_the_traces_that_share_the_weight():
    # 1/(4 * 1/16) = 4; one trace: 1; none: 0
    frame = pl.DataFrame({"problem_id": ["a"] * 4 + ["b"] * 2 + ["c"], "weight": [0.25] * 4 + [1.0, 0.0] + [0.0]})
    assert weights.effective_sample_size(frame)["effective_sample_size"].to_list() == [4.0, 1.0, 0.0]
