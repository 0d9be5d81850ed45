"""Examples of sampled traces, in the order of the traces."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from vr.renderers import markers, renderer, trace_examples
from vr.renderers.example import Example
from vr.renderers.renderer import Renderer, Wording
from vr.renderers.tokenizer import decode, encode, split_at_marker

WORDING = Wording("You add.", "You explain.", "", hint="solution", template="A", proposal="posterior")
PROBLEMS = pl.DataFrame(
    {
        "problem_id": ["a", "b"],
        "question": ["1 + 1?", "2 + 2?"],
        "system": [None, "Own words."],
        "solution": [markers.join_response("one and one", "2"), markers.join_response("two and two", "4")],
        "reference": ["2", "4"],
    }
)


@pytest.fixture
def both(tiny_model: Path) -> Renderer:
    return renderer.load(tiny_model, WORDING)


def traces(renderer: Renderer, *rows: tuple[str, str]) -> pl.DataFrame:
    ids = [encode(renderer.tokenizer, text) for _, text in rows]
    ended = [split_at_marker(renderer.tokenizer, of, renderer.trace_end) or (0, len(of)) for of in ids]
    return pl.DataFrame(
        {
            "problem_id": [problem_id for problem_id, _ in rows],
            "seed": [3] * len(rows),
            "trace_ids": ids,
            "thought_tokens": [thought_tokens for _, thought_tokens in ended],
        }
    )


def texts(renderer: Renderer, examples: list[Example]) -> list[str]:
    return [decode(renderer.tokenizer, example.ids) for example in examples]


def test_traces_are_scored_in_their_order_as_each_model_writes_them(both: Renderer) -> None:
    sampled = traces(both, ("b", "four\n\n<|end_of_explanation|>"), ("a", "tw"))
    for_pi = trace_examples.under_initial(both, PROBLEMS, sampled)
    assert texts(both, for_pi) == [
        markers.conversation("Own words.", "2 + 2?") + markers.join_response("four", "4") + "<|im_end|>",
        markers.conversation("You add.", "1 + 1?")
        + "<|begin_of_thought|>\n\ntw\n\n<|begin_of_solution|>\n\n2\n\n<|end_of_solution|><|im_end|>",
    ]
    assert [decode(both.tokenizer, x.ids[slice(*x.trace)]) for x in for_pi] == ["four\n\n<|end_of_thought|>", "tw"]
    for_q = trace_examples.under_proposal(both, PROBLEMS, sampled)
    hints = [markers.posterior_lead("4", "A"), markers.posterior_lead("2", "A")]
    assert texts(both, for_q) == [
        markers.conversation("You explain.", "2 + 2?") + hints[0] + "four\n\n<|end_of_explanation|>\n\n<|im_end|>",
        markers.conversation("You explain.", "1 + 1?") + hints[1] + "tw\n\n<|im_end|>",
    ]
    assert [x.ids[slice(*x.trace)] for x in for_q] == sampled["trace_ids"].to_list()


def test_with_proposal_initial_both_examples_are_the_same(both: Renderer) -> None:
    pi = Renderer(both.tokenizer, dataclasses.replace(WORDING, proposal="initial"))
    sampled = traces(pi, ("a", "two<|end_of_thought|>"), ("b", "fo"))
    of_pi = trace_examples.under_initial(pi, PROBLEMS, sampled)
    assert of_pi == trace_examples.under_proposal(pi, PROBLEMS, sampled)


def test_a_trace_of_an_unknown_problem_is_an_error_that_names_it(both: Renderer) -> None:
    sampled = traces(both, ("zz", "two<|end_of_explanation|>"))
    for examples_of in (trace_examples.under_initial, trace_examples.under_proposal):
        with pytest.raises(ValueError, match="problem_id 'zz'"):
            examples_of(both, PROBLEMS, sampled)


@pytest.mark.parametrize(("ids", "unknown"), [([1, 2, 311], 311), ([5, -1], -1)])
def test_a_trace_with_a_token_that_the_model_does_not_know_is_named(
    tiny_model: Path, ids: list[int], unknown: int
) -> None:
    sampled = pl.DataFrame({"problem_id": ["a", "b", "c"], "seed": [3, 3, 4], "trace_ids": [[0, 310], [], ids]})
    trace_examples.require_known_ids(sampled[:2], tiny_model)
    with pytest.raises(ValueError, match=rf"^traces: .*'c', 'seed': 4}}: token id {unknown}, but .*special has 311$"):
        trace_examples.require_known_ids(sampled, tiny_model)
