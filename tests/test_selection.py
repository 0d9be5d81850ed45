"""Which rows the final model learns from."""

import polars as pl
import pytest

from vr import prompts, selection, tables


class Letters:
    """A stand-in for tokens.Coder that encodes each character as its number: ids can be read in the test."""

    def encode(self, text):
        return [ord(c) for c in text]

    def decode(self, ids):
        return "".join(map(chr, ids))

    def ended(self, text, marker):
        return self.encode(text) + self.encode(marker)

    def reasoner_trace(self, trace_ids, thought_tokens, template):
        return list(trace_ids[:thought_tokens]) + self.encode(prompts.END_THOUGHT) if template == "A" else trace_ids


CODER = Letters()


def build(weights: dict[str, list[float]], *, selection_: str, mix: bool, template: str = "B", answers=None):
    """Questions with given weights per seed; trace of question q, seed k is the text "q<k>"."""
    keys = [(q, k) for q, of_question in weights.items() for k in range(len(of_question))]
    flat = [w for of_question in weights.values() for w in of_question]
    best = {q: ws.index(max(ws)) if max(ws) else None for q, ws in weights.items()}
    frame = pl.DataFrame({"problem_id": [q for q, _ in keys], "seed": [k for _, k in keys], "weight": flat})
    traces = [CODER.ended(f"{q}{k}", prompts.END_THOUGHT) for q, k in keys]
    result = selection.build(
        pl.DataFrame({"problem_id": list(weights), "solution": [prompts.join_response("own", "7")] * len(weights)}),
        frame.select("problem_id", "seed").with_columns(
            trace_ids=pl.Series(traces),
            thought_tokens=pl.lit(2),
            text=pl.Series([f"{q}{k}" for q, k in keys]),
        ),
        frame.select("problem_id", "seed").with_columns(
            answer_ids=pl.Series([(answers or {}).get(key) for key in keys], dtype=pl.List(pl.Int32))
        ),
        frame.with_columns(chosen=pl.Series([best[q] == k for q, k in keys])),
        coder=CODER,
        template=template,
        selection=selection_,
        mix=mix,
    )
    return tables.validate(result, tables.Final, "final")


def test_best_takes_the_chosen_trace_and_mix_adds_the_own_row():
    rows = build({"a": [0.2, 0.8], "b": [1.0, 0.0]}, selection_="best", mix=True)
    assert rows.select("problem_id", "seed", "origin", "weight").rows() == [
        ("a", 1, "trace", 1.0),
        ("a", None, "original", 1.0),
        ("b", 0, "trace", 1.0),
        ("b", None, "original", 1.0),
    ]
    assert CODER.decode(rows["trace_ids"][0]) == "a1<|end_of_thought|>"
    assert CODER.decode(rows["answer_ids"][0]) == "7<|end_of_solution|>"
    assert rows["text"][1] == prompts.join_response("own", "7")


def test_weighted_keeps_all_traces_with_their_weights():
    rows = build({"a": [0.2, 0.8]}, selection_="weighted", mix=False)
    assert rows.select("seed", "origin", "weight").rows() == [(0, "trace", 0.2), (1, "trace", 0.8)]


@pytest.mark.parametrize("selection_", ["best", "weighted"])
@pytest.mark.parametrize("mix", [True, False])
def test_a_question_without_weight_falls_back_to_its_own_row_and_has_as_many_rows_as_the_others(selection_, mix):
    rows = build({"a": [0.5, 0.5], "b": [0.0, 0.0]}, selection_=selection_, mix=mix)
    first = rows.filter(problem_id="b").row(0, named=True)
    assert (first["origin"], first["seed"], first["weight"]) == ("fallback", None, 1.0)
    assert CODER.decode(first["trace_ids"]) == "own<|end_of_thought|>"
    assert rows.group_by("problem_id").len()["len"].n_unique() == 1
    assert rows.filter(problem_id="b")["weight"].sum() == rows.filter(problem_id="a")["weight"].sum()


def test_a_trace_is_paired_with_its_own_correct_answer_where_there_is_one():
    answer = CODER.ended("007", prompts.END_SOLUTION)
    rows = build({"a": [0.2, 0.8]}, selection_="weighted", mix=False, answers={("a", 1): answer})
    assert [CODER.decode(ids) for ids in rows["answer_ids"]] == ["7<|end_of_solution|>", "007<|end_of_solution|>"]
    assert prompts.split_response(rows["text"][1]) == ("a1", "007")


def test_the_ids_of_a_trace_are_those_that_were_sampled_and_template_a_gives_way_to_pis_end_marker():
    rows = build({"a": [1.0]}, selection_="best", mix=False, template="A")
    assert CODER.decode(rows["trace_ids"][0]) == "a0<|end_of_thought|>"


def test_a_question_that_was_not_weighed_is_an_error():
    with pytest.raises(ValueError, match=r"weights: 1 question.*'b'"):
        selection.build(
            pl.DataFrame({"problem_id": ["b"], "solution": [prompts.join_response("own", "7")]}),
            pl.DataFrame(), pl.DataFrame(),
            pl.DataFrame({"problem_id": ["a"], "seed": [0], "weight": [1.0], "chosen": [True]}),
            coder=CODER, template="B", selection="best", mix=True,
        )  # fmt: skip
