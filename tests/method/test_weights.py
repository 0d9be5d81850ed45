"""The weights, with values worked out by hand."""

from math import exp, log

import polars as pl
import pytest

from vr.method import weights
from vr.settings.params import Weigh
from vr.tables.vocabulary import OUTCOMES, TRACE_KEY

SETTINGS = {
    "estimator": "acc",
    "K": 1,
    "template": "B",
    "ratio": "per_token",
    "max_trace_tokens": 100,
    "weak_verifier_sources": [],
    "token_logps": False,
}
PLAIN = {
    "problem_id": "q", "trace_tokens": 2, "finish": "marker", "pi": -2.0, "q": -2.0, "y": -1.0, "y_tokens": 2, "l": 0.0,
    "reason": "",
}  # fmt: skip
"""A good trace of 2 tokens: log-probs of the trace under pi and q and of y* under pi, and l_k."""


def weigh(rows: list[dict], *, self_check: str | None = "correct", **changes) -> pl.DataFrame:
    """Weigh the traces of question q, given as dicts of what differs from PLAIN; the settings' seeds are theirs."""
    rows = [PLAIN | {"seed": i} | row for i, row in enumerate(rows)]
    rows = [{"q_tokens": row["trace_tokens"], "pi_tokens": row["trace_tokens"]} | row for row in rows]
    frame = pl.DataFrame(rows, schema_overrides={"seed": pl.Int32, "l": pl.Float64, "pi": pl.Float64, "q": pl.Float64})
    seeds = changes.pop("seeds", sorted(frame["seed"].unique()))
    return weights.weigh(
        pl.DataFrame({"problem_id": ["q"], "source": ["s"], "self_check": [self_check]}),
        frame.select(*TRACE_KEY, "trace_tokens", "finish"),
        frame.select(
            *TRACE_KEY, trace_tokens="pi_tokens", trace_logp_sum="pi", answer_logp_sum="y", answer_tokens="y_tokens"
        ),
        frame.select(*TRACE_KEY, trace_tokens="q_tokens", trace_logp_sum="q"),
        frame.select(*TRACE_KEY, "reason", log_likelihood="l"),
        Weigh(**SETTINGS | {"seeds": seeds, "K": len(seeds)} | changes),
    )


def test_the_log_ratio_is_the_mean_over_the_tokens_of_the_trace_and_its_total_the_sum():
    # -6 - -2 = -4, over 4 tokens -1
    result = weigh([{"trace_tokens": 4, "pi": -6.0, "q": -2.0}])
    assert result.select("log_ratio_total", "log_ratio").rows() == [(-4.0, -1.0)]


@pytest.mark.parametrize(("ratio", "log_rho"), [("per_token", -1.5), ("sum", -4.5), ("none", -0.5)])
def test_the_ratio_counts_per_token_as_a_sum_or_not_at_all_and_is_recorded_both_ways(ratio, log_rho):
    # R = -6 + 2 = -4, r = R/4 = -1, l = -0.5
    result = weigh([{"trace_tokens": 4, "pi": -6.0, "q": -2.0, "l": -0.5}], ratio=ratio)
    assert result.select("log_ratio_total", "log_ratio", "log_rho").rows() == [(-4.0, -1.0, log_rho)]


def test_both_models_the_same_give_a_ratio_of_exactly_zero():
    result = weigh([{"pi": -0.1 - 0.2, "q": -0.1 - 0.2, "l": -0.3}, {"pi": -1e6 / 3, "q": -1e6 / 3, "l": -0.3}])
    assert result["log_ratio"].to_list() == [0.0, 0.0]
    assert result["weight"].to_list() == [0.5, 0.5]


def test_template_b_refuses_traces_of_which_the_models_scored_different_numbers_of_tokens_and_names_one():
    rows = [{}, {"trace_tokens": 4, "pi_tokens": 3}]
    first = r"1 trace\(s\) with different.*'problem_id': 'q', 'seed': 1, 'n_initial': 3, 'n_proposal': 4"
    with pytest.raises(ValueError, match=first):
        weigh(rows)


@pytest.mark.parametrize("template", ["A", "B"])
def test_a_trace_with_another_number_of_tokens_than_its_proposal_scored_is_refused_and_named(template):
    rows = [{}, {"trace_tokens": 5, "pi_tokens": 4, "q_tokens": 4}]
    with pytest.raises(ValueError, match=r"1 trace.*'problem_id': 'q', 'seed': 1, 'trace_tokens': 5, 'n_proposal': 4"):
        weigh(rows, template=template)


def test_template_a_divides_by_the_tokens_of_the_trace_as_pi_writes_it():
    # (-6 + 2) / 4, though q's end marker makes its trace 5 tokens
    result = weigh([{"trace_tokens": 5, "pi_tokens": 4, "pi": -6.0, "q": -2.0}], template="A")
    assert result["log_ratio"].to_list() == [-1.0]


def test_rho_is_ratio_times_likelihood_normalised_over_the_question():
    # r = (-4+2)/2 = -1 and 0; acc = 1 and 1/2: rho = e^-1, 1/2
    result = weigh([{"pi": -4.0, "q": -2.0, "l": 0.0}, {"l": log(0.5)}])
    total = exp(-1) + 0.5
    assert result["weight"].to_list() == pytest.approx([exp(-1) / total, 0.5 / total], abs=1e-12)
    assert result["chosen"].to_list() == [False, True]


def test_without_the_ratio_only_the_likelihood_counts_but_the_ratio_is_recorded():
    result = weigh([{"pi": -40.0, "l": log(0.75)}, {"l": log(0.25)}], ratio="none")
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


@pytest.mark.parametrize(
    ("self_check", "reasons"),
    [
        ("correct", ["none_correct", ""]),
        (None, ["none_correct", ""]),  # nobody has judged it: its source alone says whether the verifier is trusted
        *((outcome, ["weak_verifier", ""]) for outcome in OUTCOMES if outcome != "correct"),
    ],
)
def test_a_verifier_that_does_not_accept_a_questions_own_solution_is_weak_for_this_question(self_check, reasons):
    none = weigh([{"l": None, "reason": "none_correct"}], self_check=self_check)
    some = weigh([{}], self_check=self_check)  # its verdicts count where an answer is correct
    assert [*none["reason"], *some["reason"]] == reasons
    assert none["weight"].to_list() == [float(reasons[0] == "weak_verifier")]
    assert some["weight"].to_list() == [1.0]


def test_only_acc_asks_whether_a_verifier_is_weak():
    rows = [{"l": None, "reason": "unscored"}]
    assert weigh(rows, estimator="l", self_check="wrong")["weight"].to_list() == [0.0]


@pytest.mark.parametrize("changes", [{"seeds": [0, 1]}, {"seeds": [0, 1, 2], "K": 2}])
def test_only_the_first_k_of_the_named_seeds_count(changes):
    result = weigh([{}, {}, {"pi": -1.0}], **changes)
    assert result["seed"].to_list() == [0, 1]
    assert result["weight"].to_list() == [0.5, 0.5]


def test_a_missing_trace_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"traces: 1 of 2 traces are missing.*'seed': 7"):
        weigh([{}], seeds=[0, 7])


def test_effective_sample_size_counts_the_traces_that_share_the_weight():
    # 1/(4 * 1/16) = 4; one trace: 1; none: 0
    frame = pl.DataFrame({"problem_id": ["a"] * 4 + ["b"] * 2 + ["c"], "weight": [0.25] * 4 + [1.0, 0.0] + [0.0]})
    assert weights.effective_sample_size(frame)["effective_sample_size"].to_list() == [4.0, 1.0, 0.0]


def test_the_summary_counts_traces_by_reason_and_questions_without_weight():
    frame = pl.DataFrame({"problem_id": ["a", "a", "b"], "weight": [0.5, 0.5, 0.0], "reason": ["", "", "truncated"]})
    assert weights.summary(frame) == {
        "traces": 3,
        "reasons": {"ok": 2, "truncated": 1},
        "questions": 2,
        "questions_without_weight": 1,
        "effective_sample_size": 1.0,  # (2 + 0) / 2
    }
