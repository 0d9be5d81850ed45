"""What pi and q are given for one problem."""

import polars as pl
import pytest

from vr.renderers import markers, renderer, roles

PROBLEM = {
    "problem_id": "a", "question": "1+1?", "system": None, "reference": "2",
    "solution": markers.join_response("1+1=2", "so \\boxed{2}"),
}  # fmt: skip


@pytest.fixture
def coder(tiny_model):
    return renderer.Renderer(renderer.load(tiny_model))


def given(coder, hint, template="B"):
    return roles.Roles(coder, "think", "explain", hint, template)


def test_q_sees_the_whole_solution_or_the_reference_alone_before_it_thinks(coder):
    whole = coder.decode(given(coder, "solution").sampler_prompt(PROBLEM))
    assert "<|begin_of_solution|>so \\boxed{2}<|end_of_solution|>" in whole
    assert whole.endswith("<|begin_of_thought|>")
    assert "explain" in whole
    alone = coder.decode(given(coder, "answer", "A").sampler_prompt(PROBLEM))
    assert "<|begin_of_solution|>2<|end_of_solution|>" in alone
    assert alone.endswith("<|begin_of_explanation|>")


def test_without_a_hint_the_sampler_is_pi_and_scores_the_very_same_row(coder):
    alike = given(coder, "none", "A")
    trace = coder.ended("1+1=2", markers.END_THOUGHT)
    assert "\\boxed" not in coder.decode(alike.sampler_prompt(PROBLEM))
    assert alike.sampler_prompt(PROBLEM) == coder.reasoner_prompt("1+1?", "think")
    assert alike.sampler_row(PROBLEM, trace) == alike.reasoner_row(PROBLEM, trace)
    assert alike.trace_end == markers.END_THOUGHT  # whatever the template says


def test_the_row_of_pi_holds_the_trace_and_the_reference_answer(coder):
    trace = coder.ended("1+1=2", markers.END_THOUGHT)
    row = given(coder, "solution").reasoner_row(PROBLEM, trace)
    assert row.ids[slice(*row.trace)] == trace
    assert row.answer is not None
    assert coder.decode(row.ids[slice(*row.answer)]) == "so \\boxed{2}<|end_of_solution|>"


def test_a_problems_own_system_prompt_comes_first(coder):
    assert "own words" in coder.decode(given(coder, "none").sampler_prompt(PROBLEM | {"system": "own words"}))


def test_a_trace_of_an_unknown_problem_is_an_error_that_names_it():
    traces = pl.DataFrame({"problem_id": ["b"], "trace_ids": [[1]], "thought_tokens": [0]})
    with pytest.raises(ValueError, match="problem_id 'b'"):
        roles.rows_of_traces(pl.DataFrame([PROBLEM]), traces, lambda *_: None)
