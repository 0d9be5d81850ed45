"""vr/tokens.py: what is sampled from, scored and trained on are the same ids, for both kinds of marker."""

from pathlib import Path

import pytest
from conftest import MARKERS, token_id

from vr.renderers import markers, renderer

SYSTEM, QUESTION, HINT = "You add.", "Add 3 and 4.", "The answer is 7."


@pytest.fixture(params=MARKERS)
def coder(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> renderer.Renderer:
    return renderer.Renderer(renderer.load(tiny_models[request.param]))


def text_of(coder: renderer.Renderer, row: renderer.Example, span: tuple[int, int] | None) -> str:
    assert span is not None
    return coder.decode(row.ids[slice(*span)])


def test_markers_are_one_token_or_several_as_the_fixture_says(tiny_models: dict[str, Path]) -> None:
    special, text = (renderer.Renderer(renderer.load(tiny_models[kind])) for kind in MARKERS)
    for marker in markers.MARKERS:
        assert len(special.encode(marker)) == 1
        assert len(text.encode(marker)) > 3
    for coder in (special, text):
        assert all(len(coder.encode(mark)) == 1 for mark in (markers.TURN_BEGIN, markers.TURN_END, markers.TEXT_END))


def test_decoding_gives_back_what_was_encoded(coder: renderer.Renderer) -> None:
    text = markers.conversation("You  add .", "Ünï : 3 , 4 ?\n\n") + markers.join_response(" a\n", "\\boxed{ 7 } .")
    assert coder.decode(coder.encode(text)) == text


def test_reasoner_row_begins_with_the_samplers_prompt_and_its_ids(coder: renderer.Renderer) -> None:
    # Ids that a tokenizer would not have chosen for their text: they must come through untouched.
    thought = [token_id(coder.tokenizer, letter) for letter in "answer"]
    assert coder.encode("answer") != thought
    trace = [*thought, *coder.fixed(markers.END_THOUGHT)]
    answer = [*thought, *coder.fixed(markers.END_SOLUTION)]
    row = coder.reasoner_row(QUESTION, SYSTEM, trace, answer)
    trace_prefix = coder.reasoner_prompt(QUESTION, SYSTEM) + trace
    answer_prefix = coder.answer_prompt(QUESTION, SYSTEM, trace) + answer
    assert row.ids[: len(trace_prefix)] == trace_prefix
    assert row.ids[: len(answer_prefix)] == answer_prefix
    assert row.ids == answer_prefix + coder.fixed(markers.TURN_END)


def test_reasoner_row_spans_are_trace_and_answer_with_their_end_markers(coder: renderer.Renderer) -> None:
    trace, answer = coder.ended("3 + 4 = 7", markers.END_THOUGHT), coder.ended("7", markers.END_SOLUTION)
    row = coder.reasoner_row(QUESTION, SYSTEM, trace, answer)
    assert row.ids[slice(*row.trace)] == trace
    assert text_of(coder, row, row.trace) == "3 + 4 = 7<|end_of_thought|>"
    assert text_of(coder, row, row.answer) == "7<|end_of_solution|>"
    assert text_of(coder, row, (row.trace[1], row.answer[0] if row.answer else 0)) == markers.ANSWER_LEAD


def test_reasoner_row_is_trained_from_its_first_marker_to_the_end_of_the_turn(coder: renderer.Renderer) -> None:
    trace, answer = coder.ended("3 + 4 = 7", markers.END_THOUGHT), coder.ended("7", markers.END_SOLUTION)
    row = coder.reasoner_row(QUESTION, SYSTEM, trace, answer)
    trained = coder.decode(row.ids[row.trained_from :])
    assert trained == markers.join_response("3 + 4 = 7", "7") + markers.TURN_END
    assert coder.decode(row.ids[: row.trained_from]) == markers.conversation(SYSTEM, QUESTION)
    assert markers.split_response(trained) == ("3 + 4 = 7", "7")


@pytest.mark.parametrize("template", ["A", "B"])
def test_posterior_row_begins_with_the_samplers_prompt_and_its_ids(coder: renderer.Renderer, template: str) -> None:
    _, end = markers.trace_markers(template)
    trace = [*[token_id(coder.tokenizer, letter) for letter in "answer"], *coder.fixed(end)]
    row = coder.posterior_row(QUESTION, SYSTEM, HINT, template, trace)
    prefix = coder.posterior_prompt(QUESTION, SYSTEM, HINT, template) + trace
    assert row.ids == prefix + coder.fixed(markers.TURN_END)
    assert row.ids[slice(*row.trace)] == trace
    assert row.answer is None


@pytest.mark.parametrize(("template", "name"), [("A", "explanation"), ("B", "thought")])
def test_posterior_is_given_hint_and_begin_marker_and_trained_on_the_rest(
    coder: renderer.Renderer, template: str, name: str
) -> None:
    row = coder.posterior_row(QUESTION, SYSTEM, HINT, template, coder.ended("3 + 4 = 7", f"<|end_of_{name}|>"))
    lead = f"<|begin_of_solution|>{HINT}<|end_of_solution|>\n\n<|begin_of_{name}|>"
    assert coder.decode(row.ids[: row.trained_from]) == markers.conversation(SYSTEM, QUESTION) + lead
    assert coder.decode(row.ids[row.trained_from :]) == f"3 + 4 = 7<|end_of_{name}|><|im_end|>"
    assert row.trace == (row.trained_from, len(row.ids) - 1)


def test_a_trace_of_template_a_reaches_pi_with_its_own_end_marker_and_the_same_thought_ids(
    coder: renderer.Renderer,
) -> None:
    thought = [token_id(coder.tokenizer, letter) for letter in "answer"]
    trace = thought + coder.fixed(markers.END_EXPLANATION)
    assert coder.reasoner_trace(trace, len(thought), "A") == thought + coder.fixed(markers.END_THOUGHT)


def test_a_trace_of_template_b_reaches_pi_as_it_was_sampled(coder: renderer.Renderer) -> None:
    trace = coder.ended("3 + 4 = 7", markers.END_THOUGHT)
    assert coder.reasoner_trace(trace, len(trace) - 1, "B") == trace


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        renderer.load(tmp_path / "nowhere")
