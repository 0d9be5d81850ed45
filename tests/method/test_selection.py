"""Which rows the final model learns from."""

from pathlib import Path

import polars as pl
import pytest
from tiny_models import MARKERS, make_tokenizer

from vr.method import selection
from vr.renderers import markers
from vr.renderers.renderer import Renderer, Wording
from vr.settings.params import BuildBaseline, BuildFinal
from vr.tables import parquet, schemas
from vr.tables.keys import ByProblem


def encode(text: str) -> list[int]:
    return [ord(c) for c in text]


def decode(ids) -> str:
    return "".join(map(chr, ids))


class Letters:
    """A stand-in for a Renderer and its tokenizer: each character is its number, so ids can be read in the test."""

    def __init__(self, template: str) -> None:
        self.trace_end = markers.trace_markers(template)[1]
        self.tokenizer = self

    def reference_ids_batch(self, problems):
        parts = [markers.split_response(problem["solution"]) for problem in problems]
        return [(encode(f"{z}{markers.END_THOUGHT}"), encode(f"{y}{markers.END_SOLUTION}")) for z, y in parts]

    def as_reasoner_trace(self, trace_ids, thought_tokens):
        return [*trace_ids[:thought_tokens], *encode(markers.END_THOUGHT)]

    def encode(self, text):
        return encode(text)

    def decode(self, ids, **options):
        assert not any(options.values())  # special tokens are kept and spaces untouched
        return decode(ids)


@pytest.fixture
def build(tmp_path: Path):
    """`selection.build` out of tables in files, of which the traces and likelihood of seed k are written in `order`."""

    def from_weights(
        weights: dict[str, list[float]],
        *,
        selection_: str,
        mix: bool,
        template="B",
        answers=None,
        order=1,
        renderer=None,
    ):
        """Questions with given weights per seed; the trace of question q and seed k is the text "q<k>"."""
        K = max(map(len, weights.values()))
        best = {q: ws.index(max(ws)) if max(ws) else None for q, ws in weights.items()}
        renderer = renderer or Letters(template)
        traces, likelihood = {}, {}
        for k in range(K):
            questions = list(weights)[::order]
            ids = [renderer.tokenizer.encode(f"{q}{k}{renderer.trace_end}") for q in questions]
            keys = pl.DataFrame({"problem_id": questions}).with_columns(seed=pl.lit(k))
            traces[k] = table(
                tmp_path / f"traces-{k}.parquet", schemas.Traces, keys, trace_ids=ids, trace_tokens=list(map(len, ids)),
                thought_tokens=[len(f"{q}{k}") for q in questions], text=[f"{q}{k}" for q in questions],
                finish=["marker"] * len(ids),
            )  # fmt: skip
            likelihood[k] = table(
                tmp_path / f"likelihood-{k}.parquet", schemas.Likelihood, keys, log_likelihood=[0.0] * len(ids),
                reason=[""] * len(ids), answer_ids=[(answers or {}).get((q, k)) for q in questions],
            )  # fmt: skip
        frame = pl.DataFrame(
            [
                {"problem_id": q, "seed": k, "weight": w, "chosen": best[q] == k}
                for q, of_question in weights.items()
                for k, w in enumerate(of_question)
            ],
            schema_overrides={"seed": pl.Int32},
        )
        pieces = selection.build(
            [problems(*weights)], traces, likelihood, frame, renderer, settings(selection_, mix, template)
        )
        parquet.write_batches(pieces, tmp_path / "final.parquet", schemas.Final)
        return parquet.read(tmp_path / "final.parquet", schemas.Final)

    return from_weights


def problems(*names: str) -> pl.DataFrame:
    """Questions whose own trace is "own" and whose own answer is "7"."""
    return pl.DataFrame({"problem_id": names, "solution": [OWN] * len(names)}).with_columns(
        question=pl.lit("3 + 4?"), system=pl.lit(None), reference=pl.lit(None)
    )


OWN = markers.join_response("own", "7")


def settings(selection_: str = "best", mix: bool = True, template: str = "B") -> BuildFinal:
    return BuildFinal(proposal="posterior", template=template, selection=selection_, mix=mix)


def table(path: Path, schema, keys: pl.DataFrame, **columns: list) -> ByProblem:
    lists = {"trace_ids", "answer_ids"}
    frame = keys.with_columns(
        pl.Series(name, values, dtype=pl.List(pl.Int32) if name in lists else None) for name, values in columns.items()
    )
    missing = set(schema.column_names()) - set(frame.columns)
    parquet.write(frame.with_columns(pl.lit(None).alias(name) for name in missing), path, schema)
    return ByProblem(path, schema, [*keys.columns, *columns])


def test_best_takes_the_chosen_trace_and_mix_adds_the_own_row(build):
    rows = build({"a": [0.2, 0.8], "b": [1.0, 0.0]}, selection_="best", mix=True)
    assert rows.select("problem_id", "seed", "origin", "weight").rows() == [
        ("a", 1, "trace", 1.0),
        ("a", None, "original", 1.0),
        ("b", 0, "trace", 1.0),
        ("b", None, "original", 1.0),
    ]
    assert decode(rows["trace_ids"][0]) == "a1<|end_of_thought|>"
    assert decode(rows["answer_ids"][0]) == "7<|end_of_solution|>"
    assert rows["text"][1] == OWN


def test_weighted_keeps_all_traces_with_their_weights(build):
    rows = build({"a": [0.2, 0.8]}, selection_="weighted", mix=False)
    assert rows.select("seed", "origin", "weight").rows() == [(0, "trace", 0.2), (1, "trace", 0.8)]


@pytest.mark.parametrize("selection_", ["best", "weighted"])
@pytest.mark.parametrize("mix", [True, False])
def test_a_question_without_weight_falls_back_to_its_own_row_and_has_as_many_rows_as_the_others(build, selection_, mix):
    rows = build({"a": [0.5, 0.5], "b": [0.0, 0.0]}, selection_=selection_, mix=mix)
    first = rows.filter(problem_id="b").row(0, named=True)
    assert (first["origin"], first["seed"], first["weight"]) == ("fallback", None, 1.0)
    assert decode(first["trace_ids"]) == "own<|end_of_thought|>"
    assert rows.group_by("problem_id").len()["len"].n_unique() == 1
    assert rows.filter(problem_id="b")["weight"].sum() == rows.filter(problem_id="a")["weight"].sum()


def test_a_trace_is_paired_with_its_own_correct_answer_where_there_is_one(build):
    answer = encode(f"007{markers.END_SOLUTION}")
    rows = build({"a": [0.2, 0.8]}, selection_="weighted", mix=False, answers={("a", 1): answer})
    assert [decode(ids) for ids in rows["answer_ids"]] == ["7<|end_of_solution|>", "007<|end_of_solution|>"]
    assert markers.split_response(rows["text"][1]) == ("a1", "007")


def test_the_ids_of_a_trace_are_those_that_were_sampled_and_template_a_gives_way_to_pis_end_marker(build):
    rows = build({"a": [1.0]}, selection_="best", mix=False, template="A")
    assert decode(rows["trace_ids"][0]) == "a0<|end_of_thought|>"


@pytest.mark.parametrize("template", ["A", "B"])
def test_the_rows_do_not_depend_on_the_blocks_nor_on_the_order_of_the_traces(build, template, monkeypatch):
    weights = {f"q{n}": [0.5, 0.5, 0.0] if n % 3 else [0.0] * 3 for n in range(11)}
    options = {"selection_": "weighted", "mix": True, "template": template}
    whole = build(weights, **options)
    assert whole["problem_id"].unique(maintain_order=True).to_list() == list(weights)
    assert whole.filter(problem_id="q0").select("row", "origin").rows() == [
        (0, "fallback"), (1, "trace"), (2, "trace"), (3, "original"),
    ]  # fmt: skip
    monkeypatch.setattr(selection, "_QUESTIONS_AT_ONCE", 3)
    assert build(weights, **options).equals(whole)
    assert build(weights, **options, order=-1).equals(whole)


def test_ids_that_no_text_would_give_stay_as_they_were_sampled(build, monkeypatch):
    # "a" and "0" as tokens of their own, which no tokenizer would write for that text
    monkeypatch.setitem(globals(), "encode", lambda text: [7, *map(ord, text), 7])
    rows = build({"a": [1.0]}, selection_="best", mix=False)
    assert rows["trace_ids"].to_list() == [[7, *map(ord, "a0<|end_of_thought|>"), 7]]


def test_a_block_of_which_every_question_falls_back_has_its_own_rows_alone(build):
    rows = build({"a": [0.0, 0.0], "b": [0.0, 0.0]}, selection_="best", mix=True)
    assert rows.select("problem_id", "row", "origin").rows() == [
        ("a", 0, "fallback"), ("a", 1, "original"), ("b", 0, "fallback"), ("b", 1, "original"),
    ]  # fmt: skip


def own_rows(selection_: str, mix: bool, *names: str, K: int = 2) -> pl.DataFrame:
    settings_ = BuildBaseline(K=K, selection=selection_, mix=mix)
    return pl.concat(selection.build_sft([problems(*names)], Letters("B"), settings_))


@pytest.mark.parametrize(
    ("selection_", "mix", "rows"),
    [
        ("best", False, [("b", 0), ("a", 0)]),
        ("best", True, [("b", 0), ("b", 1), ("a", 0), ("a", 1)]),
        ("weighted", False, [("b", 0), ("b", 1), ("a", 0), ("a", 1)]),
        ("weighted", True, [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2)]),
    ],
)
def test_the_baseline_has_the_own_row_where_the_final_set_has_any(build, selection_, mix, rows, monkeypatch):
    monkeypatch.setattr(selection, "_QUESTIONS_AT_ONCE", 1)
    found = own_rows(selection_, mix, "b", "a")
    assert found.select("problem_id", "row").rows() == rows
    final = build({"b": [0.0, 0.0], "a": [0.2, 0.8]}, selection_=selection_, mix=mix)
    assert final.select("problem_id", "row").rows() == rows
    (common,) = found.select("origin", "seed", "weight", "trace_ids", "answer_ids", "text").unique().rows()
    assert common == (
        "original", None, 1.0, encode("own<|end_of_thought|>"), encode("7<|end_of_solution|>"), OWN
    )  # fmt: skip


def test_the_baseline_of_a_larger_k_is_the_same_where_one_trace_is_chosen():
    assert own_rows("best", True, "a", K=2).equals(own_rows("best", True, "a", K=8))
    assert own_rows("weighted", False, "a", K=8).height == 8


def test_a_question_that_was_not_weighed_is_an_error():
    weights = pl.DataFrame({"problem_id": ["a"], "seed": [0], "weight": [1.0], "chosen": [True]})
    with pytest.raises(ValueError, match=r"weights: 1 question.*'b'"):
        list(selection.build([problems("b")], {}, {}, weights, Letters("B"), settings()))


def test_a_weighed_trace_that_is_missing_is_named(tmp_path):
    keys = pl.DataFrame({"problem_id": ["b"]}).with_columns(seed=pl.lit(0))
    other = {"trace_ids": [[1]], "trace_tokens": [1], "thought_tokens": [0], "text": [""], "finish": ["marker"]}
    traces = table(tmp_path / "traces.parquet", schemas.Traces, keys, **other)
    found = {"log_likelihood": [0.0], "reason": [""], "answer_ids": [None]}
    likelihood = table(tmp_path / "likelihood.parquet", schemas.Likelihood, keys, **found)
    weights = pl.DataFrame({"problem_id": ["a"], "seed": [0], "weight": [1.0], "chosen": [True]})
    weights = weights.cast({"seed": pl.Int32})
    with pytest.raises(ValueError, match=r"traces: a weighed trace is missing: \{'problem_id': 'a', 'seed': 0\}"):
        list(selection.build([problems("a")], {0: traces}, {0: likelihood}, weights, Letters("B"), settings()))


@pytest.mark.parametrize("template", ["A", "B"])
@pytest.mark.parametrize("kind", MARKERS)
def test_the_ids_of_a_real_tokenizer_are_the_texts(build, kind, template):
    tokenizer = make_tokenizer(kind)
    wording = Wording("s", "s", "s", hint="solution", template=template, proposal="posterior")
    answers = {("a", 0): tokenizer.encode(f"007\n\n{markers.END_SOLUTION}")}
    rows = build(
        {"a": [1.0], "b": [0.0]}, selection_="best", mix=True, template=template, answers=answers,
        renderer=Renderer(tokenizer, wording),
    )  # fmt: skip
    # a last token may hold the blank line that follows the marker
    assert [tokenizer.decode(ids).rstrip() for ids in rows["trace_ids"]] == [
        "a0<|end_of_thought|>", *["own\n\n<|end_of_thought|>"] * 3
    ]  # fmt: skip
    assert [tokenizer.decode(ids).rstrip() for ids in rows["answer_ids"]] == [
        "007\n\n<|end_of_solution|>", *["7\n\n<|end_of_solution|>"] * 3
    ]  # fmt: skip
    assert [markers.split_response(text) for text in rows["text"]] == [("a0", "007"), *[("own", "7")] * 3]
