"""Prompts and examples: one text, one sequence of ids, for tokenizers that write the format's borders differently."""

import dataclasses
import logging
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import vocabularies
from tiny_models import make_tokenizer

from vr.renderers import markers, renderer, tokenizer
from vr.renderers.example import Example
from vr.renderers.renderer import Renderer, Wording
from vr.renderers.tokenizer import decode, encode, split_at_marker

WORDING = Wording(
    "You add.", "You explain.", "Reason step by step.", hint="solution", template="B", proposal="posterior"
)
PROBLEM = {
    "problem_id": "a",
    "question": "Add 3 and 4.",
    "system": None,
    "solution": markers.join_response("3 + 4 = 7", "so \\boxed{7}"),
    "reference": "7",
}
KINDS = pytest.mark.parametrize("kind", vocabularies.KINDS)
TEMPLATES = pytest.mark.parametrize("template", ["A", "B"])


def rendering(kind: str, **wording: str) -> Renderer:
    return Renderer(vocabularies.tokenizer(kind), dataclasses.replace(WORDING, **wording))


def random_problems(seed: int, number: int) -> list[dict[str, Any]]:
    """Problems of random texts, in the public format."""
    kinds = zip(*(vocabularies.texts(10 * seed + part, number) for part in range(3)), strict=True)
    return [
        {
            "problem_id": str(index),
            "question": question,
            "system": (None, "Own words.\n", question)[index % 3],
            "solution": markers.join_response(thought, solution),
            "reference": None,
        }
        for index, (question, thought, solution) in enumerate(kinds)
    ]


PROBLEMS = random_problems(0, 120)


def parts(problem: Mapping[str, Any]) -> tuple[str, str]:
    return markers.split_response(problem["solution"])


def initial_text(problem: Mapping[str, Any]) -> str:
    system = problem["system"] or "You add."
    return markers.conversation(system, problem["question"]) + problem["solution"] + "<|im_end|>"


def posterior_text(problem: Mapping[str, Any], template: str) -> str:
    thought, solution = parts(problem)
    name = {"A": "explanation", "B": "thought"}[template]
    return (
        markers.conversation("You explain.", problem["question"])
        + f"<|begin_of_solution|>\n\n{solution}\n\n<|end_of_solution|>\n\n"
        + f"<|begin_of_{name}|>\n\n{thought}\n\n<|end_of_{name}|>\n\n<|im_end|>"
    )


def border_depends_on_digits(kind: str, *texts: str) -> bool:
    """GPT-2's way of splitting: a blank line is one token before a digit, two before other text."""
    return kind in ("gpt2", "smollm2") and any(unicodedata.category(text[0]) in ("Nd", "Nl", "No") for text in texts)


def span(renderer: Renderer, example: Example, part: tuple[int, int] | None) -> str:
    assert part is not None
    return decode(renderer.tokenizer, example.ids[slice(*part)])


# Data-set text


@KINDS
def test_an_initial_example_is_the_tokenizers_own_encoding_of_the_whole_text(kind: str) -> None:
    pi = rendering(kind)
    exceptions = 0
    for problem, example in zip(PROBLEMS, pi.initial_examples(PROBLEMS), strict=True):
        text = initial_text(problem)
        assert decode(pi.tokenizer, example.ids) == vocabularies.composed(pi.tokenizer, text)
        if border_depends_on_digits(kind, *parts(problem)):
            exceptions += 1
        else:
            assert example.ids == encode(pi.tokenizer, text)
    assert exceptions < len(PROBLEMS) / 3


@KINDS
def test_examples_whose_traces_are_encoded_without_characters_are_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = rendering(kind)
    whole = both.initial_examples(PROBLEMS), both.posterior_examples(PROBLEMS)
    monkeypatch.setattr(tokenizer, "_LEAST_QUIET", 10)
    assert (both.initial_examples(PROBLEMS), both.posterior_examples(PROBLEMS)) == whole


@TEMPLATES
@KINDS
def test_a_posterior_example_is_the_tokenizers_own_encoding_of_the_whole_text(kind: str, template: str) -> None:
    q = rendering(kind, template=template)
    for problem, example in zip(PROBLEMS, q.posterior_examples(PROBLEMS), strict=True):
        text = posterior_text(problem, template)
        assert decode(q.tokenizer, example.ids) == vocabularies.composed(q.tokenizer, text)
        if not border_depends_on_digits(kind, parts(problem)[0]):
            assert example.ids == encode(q.tokenizer, text)


@TEMPLATES
@KINDS
def test_prompts_are_prefixes_of_the_examples_that_continue_them(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    prompts = both.reasoner_prompts(PROBLEMS)
    rows = zip(PROBLEMS, prompts, both.initial_examples(PROBLEMS), both.posterior_examples(PROBLEMS), strict=True)
    for problem, prompt, initial, posterior in rows:
        assert both.reasoner_prompt(problem) == prompt == initial.ids[: initial.trace[0]]
        assert initial.answer is not None
        trace_ids = initial.ids[slice(*initial.trace)]
        assert both.answer_prompt(problem, trace_ids) == initial.ids[: initial.answer[0]]
        assert both.proposal_prompt(problem) == posterior.ids[: posterior.trace[0]]
        assert decode(both.tokenizer, prompt).endswith("<|im_start|>assistant\n<|begin_of_thought|>\n\n")


@pytest.mark.parametrize(
    "first", ["a", "Okay", "7", "(", "\\", "漢", "🙂", "\u0301", "é", "'s", "<", "|>", "\u200b", "#"]
)
@KINDS
def test_the_prompt_does_not_depend_on_what_the_trace_begins_with(kind: str, first: str) -> None:
    pi = rendering(kind)
    problem = PROBLEM | {"solution": markers.join_response(first, first)}
    example = pi.initial_example(problem)
    assert example.ids[: example.trace[0]] == pi.reasoner_prompt(PROBLEM)
    assert example.answer is not None
    assert example.ids[example.answer[1] :] == encode(pi.tokenizer, "<|im_end|>")


@TEMPLATES
@KINDS
def test_spans_are_the_parts_with_their_end_markers_and_what_overhangs_them(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    q_end = markers.trace_markers(template)[1]
    rows = zip(PROBLEMS, both.initial_examples(PROBLEMS), both.posterior_examples(PROBLEMS), strict=True)
    for problem, initial, posterior in rows:
        thought, solution = (vocabularies.composed(both.tokenizer, part) for part in parts(problem))
        trace, end, overhang = span(both, initial, initial.trace).rpartition("<|end_of_thought|>")
        assert (trace, end) == (f"{thought}\n\n", "<|end_of_thought|>")
        assert "\n\n".startswith(overhang)
        assert span(both, initial, initial.answer) == f"{solution}\n\n<|end_of_solution|>"
        assert span(both, posterior, posterior.trace) == f"{thought}\n\n{q_end}{overhang}"
        assert posterior.answer is None


@KINDS
def test_pi_is_trained_on_the_response_and_q_on_what_follows_its_begin_marker(kind: str) -> None:
    both = rendering(kind, template="A")
    initial, posterior = both.initial_example(PROBLEM), both.posterior_example(PROBLEM)
    trained = decode(both.tokenizer, initial.ids[initial.trained_from :])
    assert trained == (
        "<|begin_of_thought|>\n\n3 + 4 = 7\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\nso \\boxed{7}\n\n<|end_of_solution|><|im_end|>"
    )
    assert decode(both.tokenizer, initial.ids[: initial.trained_from]) == markers.conversation(
        "You add.", "Add 3 and 4."
    )
    assert markers.split_response(trained) == ("3 + 4 = 7", "so \\boxed{7}")
    given = decode(both.tokenizer, posterior.ids[: posterior.trained_from])
    hint = "<|begin_of_solution|>\n\nso \\boxed{7}\n\n<|end_of_solution|>\n\n<|begin_of_explanation|>\n\n"
    assert given == markers.conversation("You explain.", "Add 3 and 4.") + hint
    assert decode(both.tokenizer, posterior.ids[posterior.trained_from :]) == (
        "3 + 4 = 7\n\n<|end_of_explanation|>\n\n<|im_end|>"
    )
    assert posterior.trace[0] == posterior.trained_from


def test_qwen_ends_a_trace_on_an_id_that_overhangs_the_marker_in_pis_text_and_in_qs() -> None:
    both = rendering("qwen")
    for example in (both.initial_example(PROBLEM), both.posterior_example(PROBLEM)):
        assert decode(both.tokenizer, [example.ids[example.trace[1] - 1]]) == ">\n\n"
        assert decode(both.tokenizer, [example.ids[example.trace[0] - 1]]) == ">\n\n"


@TEMPLATES
@KINDS
def test_a_row_without_blank_lines_is_written_in_the_one_format(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    bare = "<|begin_of_thought|>3 + 4 = 7<|end_of_thought|><|begin_of_solution|>so \\boxed{7} <|end_of_solution|>"
    assert both.initial_example(PROBLEM | {"solution": bare}) == both.initial_example(PROBLEM)
    assert both.posterior_example(PROBLEM | {"solution": bare}) == both.posterior_example(PROBLEM)


def test_a_solution_without_markers_is_an_error_that_names_the_problem() -> None:
    bad = PROBLEM | {"solution": "no markers"}
    for method in (rendering("text").initial_example, rendering("text").posterior_example):
        with pytest.raises(ValueError, match="problems: 'a': solution without its four markers"):
            method(bad)


def test_a_token_on_both_sides_of_a_border_is_an_error_that_names_the_tokenizer() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = vocabularies.byte_names().values()
    tokens = {token: index for index, token in enumerate([*names, "Ċa", "ĊĊa"])}
    bpe = Tokenizer(models.BPE(tokens, [("Ċ", "a"), ("Ċ", "Ċa")]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    merging = vocabularies.fast(bpe)
    merging.name_or_path = "models/merging"
    with pytest.raises(ValueError, match="'models/merging' has one token for both sides of a border"):
        Renderer(merging, WORDING).reasoner_prompt(PROBLEM)


# What was sampled


@TEMPLATES
@KINDS
def test_examples_of_sampled_ids_that_are_canonical_are_those_of_the_text(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    initials, posteriors = both.initial_examples(PROBLEMS), both.posterior_examples(PROBLEMS)
    references = both.reference_ids_batch(PROBLEMS)
    rows = [
        (problem, trace_ids, answer_ids) for problem, (trace_ids, answer_ids) in zip(PROBLEMS, references, strict=True)
    ]
    assert list(both.reasoner_examples(rows)) == initials
    for (problem, trace_ids, answer_ids), initial, posterior in zip(rows, initials, posteriors, strict=True):
        assert both.reference_ids(problem) == (trace_ids, answer_ids)
        assert both.reasoner_example(problem, trace_ids, answer_ids) == initial
        assert both.reasoner_example(problem, trace_ids) == initial
        assert both.answer_prompt(problem, trace_ids) + answer_ids + encode(both.tokenizer, "<|im_end|>") == initial.ids
        assert both.proposal_example(problem, posterior.ids[slice(*posterior.trace)]) == posterior


@TEMPLATES
@KINDS
def test_a_trace_as_q_writes_it_reaches_pi_as_pi_writes_it(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    for problem, posterior in zip(PROBLEMS, both.posterior_examples(PROBLEMS), strict=True):
        if both.trace_end in parts(problem)[0]:
            continue  # a sampled trace ends at its first end marker
        ids = posterior.ids[slice(*posterior.trace)]
        ended = split_at_marker(both.tokenizer, ids, both.trace_end)
        assert ended is not None and ended[0] == len(ids)
        written = both.as_reasoner_trace(ids, ended[1])
        assert written == both.reference_ids(problem)[0]
        assert written[: ended[1]] == ids[: ended[1]]


@KINDS
def test_sampled_ids_come_through_untouched(kind: str) -> None:
    """Ids that the tokenizer would not have chosen for their text."""
    both = rendering(kind)
    letters = [i for letter in "answer" for i in encode(both.tokenizer, letter)]
    assert encode(both.tokenizer, "answer") != letters
    trace = [*letters, *encode(both.tokenizer, "<|end_of_thought|>")]
    answer = [*letters, *encode(both.tokenizer, "<|end_of_solution|>")]
    row = both.reasoner_example(PROBLEM, trace, answer)
    trace_prefix = both.reasoner_prompt(PROBLEM) + trace
    answer_prefix = both.answer_prompt(PROBLEM, trace) + answer
    assert row.ids[: len(trace_prefix)] == trace_prefix
    assert row.ids == answer_prefix + encode(both.tokenizer, "<|im_end|>")
    assert row.ids[slice(*row.trace)] == trace
    assert row.answer is not None and row.ids[slice(*row.answer)] == answer
    between = (row.trace[1], row.answer[0])
    assert span(both, row, between) == "\n\n<|begin_of_solution|>\n\n"
    proposal = both.proposal_example(PROBLEM, trace)
    prefix = both.proposal_prompt(PROBLEM) + trace
    assert proposal.ids[: len(prefix)] == prefix
    assert decode(both.tokenizer, proposal.ids[len(prefix) :]) == "\n\n<|im_end|>"
    assert proposal.ids[slice(*proposal.trace)] == trace
    assert proposal.answer is None


def test_every_token_of_qwen_that_can_end_the_marker_keeps_its_text_and_repeats_no_format() -> None:
    both = rendering("qwen")
    thought = encode(both.tokenizer, "so\n\n<|end_of_thought|")
    vocabulary = [(decode(both.tokenizer, [i]), i) for i in range(len(both.tokenizer))]
    ends = [(text[1:], i) for text, i in vocabulary if text.startswith(">")]
    assert {"", "\n", "\n\n", "\n\n\n", "<", "."} <= {overhang for overhang, _ in ends}
    for overhang, last in ends:
        prompt = both.answer_prompt(PROBLEM, [*thought, last])
        text = decode(both.tokenizer, prompt).removeprefix(decode(both.tokenizer, both.reasoner_prompt(PROBLEM)))
        assert text.startswith(f"so\n\n<|end_of_thought|>{overhang}")
        assert text.endswith("<|begin_of_solution|>\n\n")
        assert text.count("<|begin_of_solution|>") == text.count("<|end_of_thought|>") == 1
        if "\n\n<".startswith(overhang):
            assert text == "so\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n"
        closed = decode(both.tokenizer, both.proposal_example(PROBLEM, [*thought, last]).ids)
        assert closed.endswith("<|end_of_thought|>\n\n<|im_end|>" if "\n\n".startswith(overhang) else "<|im_end|>")
        assert closed.count("<|end_of_thought|>") == 1


def test_every_token_of_qwen_that_holds_the_start_of_template_as_marker_leaves_its_text_to_pi() -> None:
    both = rendering("qwen", template="A")
    rest = encode(both.tokenizer, "|end_of_explanation|>")
    vocabulary = [(decode(both.tokenizer, [i]), i) for i in range(len(both.tokenizer))]
    borders = [(text[:-1], i) for text, i in vocabulary if text.endswith("<") and "�" not in text]
    assert {"", "}", ">", " ", "("} <= {before for before, _ in borders}
    for before, border in borders:
        ids = [*encode(both.tokenizer, "\\boxed{5"), border, *rest]
        ended = split_at_marker(both.tokenizer, ids, both.trace_end)
        assert ended is not None
        written = both.as_reasoner_trace(ids, ended[1])
        text, end, overhang = decode(both.tokenizer, written).partition("<|end_of_thought|>")
        assert (text, end, overhang) == (f"\\boxed{{5{before}", "<|end_of_thought|>", "\n\n")
        assert written[: ended[1]] == ids[: ended[1]]


def test_a_character_that_the_border_of_template_as_marker_cuts_is_whole_for_pi() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = vocabularies.byte_names()
    last_byte = names["🙂".encode()[-1]]
    tokens = {token: index for index, token in enumerate([*names.values(), f"{last_byte}<"])}
    bpe = Tokenizer(models.BPE(tokens, [(last_byte, "<")]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    both = Renderer(vocabularies.fast(bpe), dataclasses.replace(WORDING, template="A"))
    for thought in ("a🙂", "🙂", "🙂🙂", "a€🙂"):
        ids = encode(both.tokenizer, f"{thought}<|end_of_explanation|>")
        ended = split_at_marker(both.tokenizer, ids, both.trace_end)
        assert ended is not None
        assert decode(both.tokenizer, both.as_reasoner_trace(ids, ended[1])) == f"{thought}<|end_of_thought|>"
    broken = [encode(both.tokenizer, "🙂")[0], *encode(both.tokenizer, "<|end_of_explanation|>")]  # sampled so
    assert both.as_reasoner_trace(broken, 1)[0] == broken[0]


@KINDS
def test_a_trace_of_template_a_keeps_the_ids_of_its_thought(kind: str) -> None:
    both = rendering(kind, template="A")
    thought = [i for letter in "answer" for i in encode(both.tokenizer, letter)]
    trace = thought + encode(both.tokenizer, "<|end_of_explanation|>")
    written = both.as_reasoner_trace(trace, len(thought))
    assert written[: len(thought)] == thought
    assert decode(both.tokenizer, written).rstrip() == "answer<|end_of_thought|>"


@TEMPLATES
@KINDS
def test_a_trace_without_end_marker_reaches_pi_as_it_was_sampled(kind: str, template: str) -> None:
    both = rendering(kind, template=template)
    trace = encode(both.tokenizer, "3 + 4 = <|end_of")
    assert both.as_reasoner_trace(trace, len(trace)) == trace
    assert both.as_reasoner_trace([], 0) == []
    row = both.reasoner_example(PROBLEM, trace)
    assert row.ids[slice(*row.trace)] == trace


@KINDS
def test_a_trace_of_template_b_reaches_pi_as_it_was_sampled(kind: str) -> None:
    both = rendering(kind)
    trace = encode(both.tokenizer, "3 + 4 = 7<|end_of_thought|>")
    assert both.as_reasoner_trace(trace, len(trace) - 1) == trace


# What is shown to whom


@KINDS
def test_q_sees_the_whole_solution_or_the_reference_alone_before_it_thinks(kind: str) -> None:
    whole = rendering(kind, hint="solution", template="B")
    text = decode(whole.tokenizer, whole.proposal_prompt(PROBLEM))
    assert "<|begin_of_solution|>\n\nso \\boxed{7}\n\n<|end_of_solution|>" in text
    assert text.endswith("<|begin_of_thought|>\n\n")
    assert "You explain." in text
    alone = rendering(kind, hint="answer", template="A")
    text = decode(alone.tokenizer, alone.proposal_prompt(PROBLEM))
    assert "<|begin_of_solution|>\n\n7\n\n<|end_of_solution|>" in text
    assert "boxed" not in text
    assert text.endswith("<|begin_of_explanation|>\n\n")
    assert (whole.trace_end, alone.trace_end) == ("<|end_of_thought|>", "<|end_of_explanation|>")


def test_an_answer_hint_is_missing_where_there_is_no_reference() -> None:
    answer, solution = rendering("text", hint="answer"), rendering("text", hint="solution")
    without = PROBLEM | {"reference": None}
    assert [answer.hint_missing(p) for p in (PROBLEM, without, PROBLEM | {"reference": ""})] == [False, True, True]
    assert not solution.hint_missing(without)
    assert answer.proposal_prompt(without) == solution.proposal_prompt(without)


@TEMPLATES
@KINDS
def test_with_proposal_initial_the_sampler_is_pi_and_scores_the_very_same_example(kind: str, template: str) -> None:
    alike = rendering(kind, proposal="initial", template=template)
    trace = encode(alike.tokenizer, "3 + 4 = 7<|end_of_thought|>")
    assert "\\boxed" not in decode(alike.tokenizer, alike.proposal_prompt(PROBLEM))
    assert alike.proposal_prompt(PROBLEM) == alike.reasoner_prompt(PROBLEM)
    assert alike.proposal_example(PROBLEM, trace) == alike.reasoner_example(PROBLEM, trace)
    assert alike.trace_end == "<|end_of_thought|>"  # whatever the template says
    assert alike.as_reasoner_trace(trace, len(trace) - 1) == trace
    assert alike.posterior_example(PROBLEM) == rendering(kind, template=template).posterior_example(PROBLEM)


@KINDS
def test_the_example_of_pi_holds_the_trace_and_the_data_sets_own_answer(kind: str) -> None:
    pi = rendering(kind)
    trace = encode(pi.tokenizer, "1<|end_of_thought|>")
    row = pi.reasoner_example(PROBLEM, trace)
    assert row.ids[slice(*row.trace)] == trace
    assert span(pi, row, row.answer) == "so \\boxed{7}\n\n<|end_of_solution|>"


def test_a_problems_own_system_prompt_comes_first_for_pi_and_not_for_q() -> None:
    both, own = rendering("text"), PROBLEM | {"system": "own words"}
    for prompt in (both.reasoner_prompt(own), both.initial_example(own).ids, both.answer_prompt(own, [])):
        assert decode(both.tokenizer, prompt).startswith("<|im_start|>system\nown words<|im_end|>")
    assert both.proposal_prompt(own) == both.proposal_prompt(PROBLEM)


CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def with_chat_template() -> Any:
    """A tokenizer that adds its first token to every text, as Llama's does, with a chat template that writes it too."""
    from tokenizers import processors

    tokenizer = make_tokenizer("text")
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@pytest.mark.parametrize(("system", "turn"), [("Reason.", "[system] Reason.\n"), ("", "")])
def test_an_untrained_model_is_asked_in_its_own_chat_template_without_prefill(system: str, turn: str) -> None:
    base = Renderer(with_chat_template(), dataclasses.replace(WORDING, untrained=system))
    text = f"<|im_start|>{turn}[user] Add 3 and 4.\n[assistant] "
    assert decode(base.tokenizer, base.untrained_prompt(PROBLEM | {"system": "Own words."})) == text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{% for message in", "unexpected|Unexpected|end of"),
        ("{{ messages[7].content }}", "has no element 7"),
        ("{{ 1 // 0 }}", "division"),
    ],
)
def test_a_chat_template_that_fails_is_named_with_its_tokenizer(template: str, why: str) -> None:
    made = with_chat_template()
    made.chat_template = template
    with pytest.raises(ValueError, match=f"^tokenizer .*: its chat template: .*({why})"):
        Renderer(made, WORDING).untrained_prompt(PROBLEM)


@pytest.mark.parametrize("system", ["Reason.", ""])
@KINDS
def test_an_untrained_model_without_chat_template_is_asked_in_chatml(kind: str, system: str) -> None:
    base = rendering(kind, untrained=system)
    text = markers.conversation(system, "Add 3 and 4.")
    assert base.untrained_prompt(PROBLEM) == encode(base.tokenizer, text)


def test_a_renderer_is_loaded_with_a_models_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    loaded = renderer.load(tiny_model, WORDING)
    assert loaded.initial_example(PROBLEM) == rendering("special").initial_example(PROBLEM)
    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        renderer.load(tmp_path / "nowhere", WORDING)


@pytest.mark.parametrize(
    ("asked", "trained", "then"),
    [
        ([None, "Own."], ["You add.", "You add."], ["You add.", "Own."]),
        ([None, "Own."], [None], [None, "Own."]),
        ([None], ["You add.", None], [None]),  # the training questions without one are asked with the wording's own
        ([None], ["You add.", "Think."], [None]),
        (["Own."], ["You add."], ["Own."]),
    ],
)
def test_held_out_questions_without_a_prompt_get_the_one_that_all_training_questions_have(
    asked: list[str | None], trained: list[str | None], then: list[str | None]
) -> None:
    questions, problems = (pl.DataFrame({"system": texts}, {"system": pl.String}) for texts in (asked, trained))
    assert renderer.with_prompt_of_training(questions, problems)["system"].to_list() == then


@pytest.mark.parametrize(
    ("asked", "trained", "unknown"),
    [
        ([None, "You add."], [None], []),
        ([None], ["You add.", "Own."], []),
        (["Own.", "Other.", None], ["Own."], ["Other.", None]),
        ([], [None], []),
    ],
)
def test_held_out_questions_with_a_prompt_that_was_not_trained_on_are_counted_and_the_first_is_named(
    asked: list[str | None], trained: list[str | None], unknown: list[str | None], caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"q{index}" for index in range(len(asked))]
    questions = pl.DataFrame({"problem_id": ids, "system": asked}, {"problem_id": pl.String, "system": pl.String})
    problems = pl.DataFrame({"system": trained}, {"system": pl.String})
    with caplog.at_level(logging.WARNING):
        renderer.warn_of_unknown_prompts(questions, problems, WORDING)
    messages = [record.getMessage() for record in caplog.records]
    if not unknown:
        assert messages == []
        return
    first = f"q{asked.index(unknown[0])}"
    assert messages == [
        f"{len(unknown)} of {len(asked)} questions are asked with a system prompt that no training question has,"
        f" the first: {first}"
    ]
