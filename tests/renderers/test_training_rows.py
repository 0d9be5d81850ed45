"""Training rows: what is in a row, what of it is trained on, and from which tables it comes."""

import dataclasses
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import vocabularies
from tiny_models import MARKERS

from vr.renderers import markers, renderer, training_rows
from vr.renderers.example import Example
from vr.renderers.renderer import Renderer, Wording
from vr.renderers.tokenizer import decode, encode
from vr.renderers.training_rows import WeightedExample, final_rows, initial_rows, posterior_rows

WORDING = Wording("Default words.", "Explain.", "", hint="solution", template="B", proposal="posterior")


@pytest.fixture(scope="module", params=MARKERS)
def pi(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Renderer:
    return renderer.load(tiny_models[request.param], WORDING)


@pytest.fixture(scope="module")
def problems() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "problem_id": ["a", "b"],
            "question": ["3 + 4?", "4 + 3?"],
            "system": [None, "Own words."],
            "solution": [markers.join_response("three and four", "seven")] * 2,
            "reference": ["7", None],
        }
    )


def given(pi: Renderer, example: Example) -> str:
    return decode(pi.tokenizer, example.ids[: example.trained_from])


def trained(pi: Renderer, example: Example) -> str:
    return decode(pi.tokenizer, example.ids[example.trained_from :])


def test_reasoner_is_trained_on_the_response_with_all_markers_and_the_stop_token(
    pi: Renderer, problems: pl.DataFrame
) -> None:
    rows = list(initial_rows([problems], pi))
    assert [row.weight for row in rows] == [1.0, 1.0]
    for row, question, system in zip(rows, ["3 + 4?", "4 + 3?"], ["Default words.", "Own words."], strict=True):
        assert trained(pi, row.example) == (
            "<|begin_of_thought|>\n\nthree and four\n\n<|end_of_thought|>\n\n"
            "<|begin_of_solution|>\n\nseven\n\n<|end_of_solution|><|im_end|>"
        )
        assert given(pi, row.example) == markers.conversation(system, question)


@pytest.mark.parametrize(("template", "end"), [("A", markers.END_EXPLANATION), ("B", markers.END_THOUGHT)])
@pytest.mark.parametrize(("hint", "hints"), [("solution", ["seven", "seven"]), ("answer", ["7", "seven"])])
def test_posterior_is_trained_on_the_thought_and_its_end_and_not_on_the_hint(
    pi: Renderer, problems: pl.DataFrame, template: str, end: str, hint: str, hints: list[str]
) -> None:
    q = Renderer(pi.tokenizer, dataclasses.replace(WORDING, hint=hint, template=template))
    rows = list(posterior_rows([problems], q))
    assert [row.weight for row in rows] == [1.0, 1.0]
    for row, question, shown in zip(rows, ["3 + 4?", "4 + 3?"], hints, strict=True):
        assert given(q, row.example) == markers.conversation("Explain.", question) + markers.posterior_lead(
            shown, template
        )
        assert trained(q, row.example) == f"three and four\n\n{end}\n\n<|im_end|>"


def test_final_rows_take_ids_as_they_stand_and_find_their_question_by_key(pi: Renderer, problems: pl.DataFrame) -> None:
    # A sampler may write "aa" as two tokens where the tokenizer writes one: what counts is what was sampled.
    a, end = encode(pi.tokenizer, "a"), encode(pi.tokenizer, markers.END_THOUGHT)
    trace, answer = [*a, *a, *end], encode(pi.tokenizer, f"y{markers.END_SOLUTION}")
    final = pl.DataFrame(
        {"problem_id": ["b", "a"], "weight": [0.3, 1.0], "trace_ids": [trace] * 2, "answer_ids": [answer] * 2}
    )
    first, second = final_rows([final], problems, pi)
    assert (first.weight, second.weight) == (0.3, 1.0)
    start = pi.reasoner_prompt(problems.row(1, named=True))
    assert first.example.ids[: len(start) + len(trace)] == start + trace
    assert first.example.ids[slice(*first.example.trace)] == trace
    assert first.example.answer is not None and first.example.ids[slice(*first.example.answer)] == answer
    assert given(pi, second.example) == markers.conversation("Default words.", "3 + 4?")


@pytest.mark.parametrize("kind", vocabularies.KINDS)
def test_final_rows_of_the_data_sets_own_ids_are_the_initial_rows(kind: str) -> None:
    """As in the table `final`, whose `original` rows hold the reference ids."""
    pi = Renderer(vocabularies.tokenizer(kind), WORDING)
    responses = [
        markers.join_response(*pair) for pair in zip(vocabularies.texts(5, 60), vocabularies.texts(6, 60), strict=True)
    ]
    problems = pl.DataFrame(
        {
            "problem_id": [str(n) for n in range(60)],
            "question": "x?",
            "system": None,
            "solution": responses,
            "reference": None,
        }
    )
    traces, answers = zip(*pi.reference_ids_batch(problems.to_dicts()), strict=True)
    final = problems.select("problem_id", weight=1.0).with_columns(
        trace_ids=pl.Series(traces), answer_ids=pl.Series(answers)
    )
    assert list(final_rows([final], problems, pi)) == list(initial_rows([problems], pi))


@pytest.mark.parametrize("at_once", [1, 2, 256])
def test_rows_of_tables_in_pieces_are_those_of_the_whole_tables(
    pi: Renderer, problems: pl.DataFrame, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = pl.DataFrame({"problem_id": ["b", "a", "b"], "weight": [1.0, 2.0, 3.0], "trace_ids": [[5], [6], [7]]})
    final = final.with_columns(answer_ids=pl.lit([8]))

    def rows(final_frames: list[pl.DataFrame], frames: list[pl.DataFrame]) -> list[list[WeightedExample]]:
        from_text = [list(make(frames, pi)) for make in (initial_rows, posterior_rows)]
        return [list(final_rows(final_frames, problems, pi)), *from_text]

    whole = rows([final], [problems])
    assert [len(of) for of in whole] == [3, 2, 2]
    monkeypatch.setattr(training_rows, "ROWS_AT_ONCE", at_once)
    assert rows(list(final.iter_slices(1)), list(problems.iter_slices(1))) == whole
    assert rows([final], [problems]) == whole


def test_rows_are_made_as_they_are_asked_for(pi: Renderer, problems: pl.DataFrame) -> None:
    def frames() -> Any:
        yield problems
        raise AssertionError("the second frame was not asked for")

    for rows in (initial_rows(frames(), pi), posterior_rows(frames(), pi)):
        assert next(rows).weight == 1.0


def test_final_row_of_an_unknown_problem_is_named(pi: Renderer, problems: pl.DataFrame) -> None:
    final = pl.DataFrame({"problem_id": ["zz"], "weight": [1.0], "trace_ids": [[1]], "answer_ids": [[1]]})
    with pytest.raises(ValueError, match="'zz' is not in problems"):
        list(final_rows([final], problems, pi))


def test_solution_without_markers_is_named(pi: Renderer, problems: pl.DataFrame) -> None:
    bad = problems.with_columns(solution=pl.lit("no markers"))
    for rows in (initial_rows([bad], pi), posterior_rows([bad], pi)):
        with pytest.raises(ValueError, match=r"problems: 'a': solution without its four markers"):
            list(rows)
