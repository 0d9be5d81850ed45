"""Training sets: what is in a row, what of it is trained on, and what the statistics say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import MARKERS

from vr.engines.training import training_set
from vr.engines.training.training_set import IGNORED, WeightedRow
from vr.renderers import markers, renderer
from vr.renderers.renderer import Example, Renderer


@pytest.fixture(scope="module", params=MARKERS)
def coder(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Renderer:
    return Renderer(renderer.load(tiny_models[request.param]))


@pytest.fixture(scope="module")
def problems() -> pl.DataFrame:
    response = markers.join_response("three and four", "seven")
    return pl.DataFrame(
        {
            "problem_id": ["a", "b", "c"],
            "split": ["train", "train", "test"],
            "question": ["3 + 4?", "4 + 3?", "0?"],
            "system": [None, "Own words.", None],
            "solution": [response, response, None],
            "reference": ["7", None, "0"],
        }
    )


def saved(rows: Sequence[WeightedRow], folder: Path, cutoff_len: int = 512, multiple_of: int = 1) -> list[Any]:
    """What LLaMA-Factory reads back, and the statistics in front."""
    from datasets import load_from_disk

    statistics = training_set.save(rows, folder / "rows", cutoff_len=cutoff_len, multiple_of=multiple_of)
    return [statistics, *load_from_disk(str(folder / "rows"))["train"]]


def trained(coder: Renderer, row: dict[str, Any]) -> str:
    """The text of the labels."""
    assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))
    return coder.decode([label for label in row["labels"] if label != IGNORED])


def test_reasoner_is_trained_on_the_response_with_all_markers_and_the_stop_token(
    coder: Renderer, problems: pl.DataFrame, tmp_path: Path
) -> None:
    statistics, *rows = saved(list(training_set.initial_rows([problems], coder, "Default words.")), tmp_path)
    assert statistics.rows == 2  # the held-out problem is not among them
    for row, question, system in zip(rows, ["3 + 4?", "4 + 3?"], ["Default words.", "Own words."], strict=True):
        response = (
            "<|begin_of_thought|>three and four<|end_of_thought|>\n\n"
            "<|begin_of_solution|>seven<|end_of_solution|><|im_end|>"
        )
        assert trained(coder, row) == response
        assert coder.decode(row["input_ids"]) == markers.conversation(system, question) + response


@pytest.mark.parametrize(("template", "end"), [("A", markers.END_EXPLANATION), ("B", markers.END_THOUGHT)])
@pytest.mark.parametrize(("hint", "hints"), [("solution", ["seven", "seven"]), ("answer", ["7", "seven"])])
def test_posterior_is_trained_on_the_thought_and_its_end_and_not_on_the_hint(
    coder: Renderer, problems: pl.DataFrame, template: str, end: str, hint: str, hints: list[str], tmp_path: Path
) -> None:
    _, *rows = saved(list(training_set.posterior_rows([problems], coder, "Explain.", hint, template)), tmp_path)
    for row, question, given in zip(rows, ["3 + 4?", "4 + 3?"], hints, strict=True):
        prompt = markers.conversation("Explain.", question) + markers.posterior_lead(given, template)
        assert trained(coder, row) == f"three and four{end}<|im_end|>"
        assert coder.decode(row["input_ids"]) == f"{prompt}three and four{end}<|im_end|>"


def test_final_rows_take_ids_as_they_stand_and_find_their_question_by_key(
    coder: Renderer, problems: pl.DataFrame, tmp_path: Path
) -> None:
    # A sampler may write "aa" as two tokens where the tokenizer writes one: what counts is what was sampled.
    trace = [*coder.encode("a"), *coder.encode("a"), *coder.encode(markers.END_THOUGHT)]
    answer = coder.ended("y", markers.END_SOLUTION)
    final = pl.DataFrame(
        {"problem_id": ["b", "a"], "weight": [0.3, 1.0], "trace_ids": [trace] * 2, "answer_ids": [answer] * 2}
    )
    _, first, second = saved(list(training_set.final_rows([final], problems, coder, "Default words.")), tmp_path)
    assert (first["weight"], second["weight"]) == (0.3, 1.0)
    start = coder.reasoner_prompt("4 + 3?", "Own words.")
    assert first["input_ids"][: len(start) + len(trace)] == start + trace
    assert coder.decode(second["input_ids"]).startswith(markers.conversation("Default words.", "3 + 4?"))


def test_rows_of_tables_in_pieces_are_those_of_the_whole_tables(coder: Renderer, problems: pl.DataFrame) -> None:
    final = pl.DataFrame({"problem_id": ["b", "a", "b"], "weight": [1.0, 2.0, 3.0], "trace_ids": [[5], [6], [7]]})
    final = final.with_columns(answer_ids=pl.lit([8]))
    pieces, of_problems = list(final.iter_slices(1)), list(problems.iter_slices(1))
    assert list(training_set.final_rows(pieces, problems, coder, "s")) == list(
        training_set.final_rows([final], problems, coder, "s")
    )
    assert list(training_set.initial_rows(of_problems, coder, "s")) == list(
        training_set.initial_rows([problems], coder, "s")
    )
    of_whole = list(training_set.posterior_rows([problems], coder, "s", "solution", "B"))
    assert list(training_set.posterior_rows(of_problems, coder, "s", "solution", "B")) == of_whole


def test_final_row_of_an_unknown_problem_is_named(coder: Renderer, problems: pl.DataFrame) -> None:
    final = pl.DataFrame({"problem_id": ["zz"], "weight": [1.0], "trace_ids": [[1]], "answer_ids": [[1]]})
    with pytest.raises(ValueError, match="'zz' is not in problems"):
        list(training_set.final_rows([final], problems, coder, "s"))


def test_solution_without_markers_is_named(coder: Renderer, problems: pl.DataFrame) -> None:
    bad = problems.with_columns(solution=pl.lit("no markers"))
    with pytest.raises(ValueError, match=r"problems: 'a': solution without its four markers"):
        list(training_set.initial_rows([bad], coder, "s"))


def row(prompt_tokens: int, response_tokens: int, weight: float = 1.0) -> WeightedRow:
    total = prompt_tokens + response_tokens
    return WeightedRow(Example(list(range(1, total + 1)), prompt_tokens, (prompt_tokens, total)), weight)


def test_normalizer_is_the_weighted_mean_response_length(tmp_path: Path) -> None:
    statistics, *rows = saved([row(2, 3, 0.5), row(1, 7, 1.5), row(4, 100, 0.0)], tmp_path, multiple_of=2)
    # (0.5 * 3 + 1.5 * 7 + 0 * 100) / (0.5 + 1.5 + 0) = 12 / 2
    assert statistics.normalizer_tokens == 6
    assert statistics.weight_mean == pytest.approx(2 / 3)
    assert (statistics.rows, statistics.padding_rows, statistics.rows_truncated) == (3, 1, 0)
    assert (statistics.response_tokens, statistics.longest_row_tokens) == (110, 104)
    assert rows[0]["labels"] == [IGNORED, IGNORED, 3, 4, 5]
    assert rows[0]["attention_mask"] == [1] * 5
    assert rows[3] == {"input_ids": [1], "attention_mask": [1], "labels": [IGNORED], "weight": 0.0}


def test_a_row_of_weight_two_counts_as_the_row_twice_and_one_of_weight_zero_not_at_all(tmp_path: Path) -> None:
    twice = training_set.save([row(2, 3), row(2, 3), row(1, 9)], tmp_path / "1", cutoff_len=99, multiple_of=1)
    double = training_set.save([row(2, 3, 2), row(1, 9), row(1, 50, 0)], tmp_path / "2", cutoff_len=99, multiple_of=1)
    assert twice.normalizer_tokens == double.normalizer_tokens == 5
    assert twice.weight_mean * twice.rows == double.weight_mean * double.rows == 3


def test_long_rows_are_cut_at_their_end_and_counted(tmp_path: Path) -> None:
    statistics, first, second, third = saved([row(2, 8), row(2, 4), row(9, 3)], tmp_path, cutoff_len=6)
    assert [len(found["input_ids"]) for found in (first, second, third)] == [6, 6, 6]
    assert first["labels"] == second["labels"] == [IGNORED, IGNORED, 3, 4, 5, 6]
    assert third["labels"] == [IGNORED] * 6  # the cut took its whole response
    assert (statistics.rows_truncated, statistics.response_tokens) == (2, 8)
    assert statistics.normalizer_tokens == pytest.approx(8 / 3)


def test_padding_makes_whole_batches(tmp_path: Path) -> None:
    for number, padding in [(1, 3), (4, 0), (5, 3)]:
        statistics = training_set.save([row(1, 1)] * number, tmp_path / str(number), cutoff_len=9, multiple_of=4)
        assert (statistics.padding_rows, statistics.weight_mean, statistics.normalizer_tokens) == (padding, 1, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([row(1, 1, 0.0)], "the weights sum to 0"),
        ([row(9, 1)], "0 response tokens are left within cutoff_len = 5"),
        ([row(1, 1, -1.0)], "weight -1.0"),
        ([row(1, 1, float("nan"))], "weight nan"),
    ],
)
def test_a_set_without_anything_to_learn_is_an_error(rows: list[WeightedRow], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        training_set.save(rows, tmp_path / "rows", cutoff_len=5, multiple_of=4)
    assert not list(tmp_path.iterdir())


def test_rows_stream_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "_FLUSH_TOKENS", 10)
    written: list[int] = []

    def rows() -> Any:
        for number in range(50):
            written.append((tmp_path / "rows.arrow").stat().st_size if number else 0)
            yield row(1, 9, number + 1)

    statistics, *back = saved(rows(), tmp_path)  # type: ignore[arg-type]
    assert statistics.rows == 50
    assert [found["weight"] for found in back] == list(range(1, 51))
    assert written[-1] > written[10] > written[1]
