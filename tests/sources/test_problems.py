"""Several sources are mixed in the order of their list; no row vanishes without its reason."""

import polars as pl
import pytest

from vr.renderers.markers import join_response
from vr.settings import params
from vr.sources import problems
from vr.sources.loaded import COLUMNS, Loaded
from vr.tables import parquet, schemas

ENTRIES = {
    "gsm8k": {"data": "openai/gsm8k", "revision": None, "rows": "all"},
    "gym": {"datasets": {"gsm_symbolic": {}}, "rows": 50, "seed": 0},
    "table": {"path": "mine.parquet", "name": "mine"},
}


def rows(name: str, *questions: str, ids: list[str] | None = None) -> pl.DataFrame:
    """Problems `name/0`, `name/1`, ... with these questions."""
    fixed = {"source": name, "verifier": "math", "reference": "2", "solution": join_response("1+1=2", "\\boxed{2}")}
    ids = ids or [f"{name}/{index}" for index in range(len(questions))]
    named = zip(ids, questions, strict=True)
    return pl.DataFrame([fixed | {"problem_id": one, "question": question} for one, question in named], COLUMNS)


def left(*row_names: str) -> pl.DataFrame:
    made = [{"source": "gym", "source_row": row, "reason": "does not split", "question": "?"} for row in row_names]
    return pl.DataFrame(made, parquet.types(schemas.LeftOut))


@pytest.fixture
def mix(monkeypatch):
    """Mixes sources that give these rows, in the order of the names."""

    def mixed(**loaded: pl.DataFrame | Loaded) -> Loaded:
        for name, found in loaded.items():
            made = found if isinstance(found, Loaded) else Loaded(found, schemas.LeftOut.create_empty())
            monkeypatch.setitem(problems.SOURCES, name, lambda _settings, made=made: made)
        document = {"problems": {"sources": list(loaded)} | ENTRIES}
        return problems.load(params.Problems.read(document))

    return mixed


def test_a_source_gets_its_own_entry_of_the_params(monkeypatch):
    asked = []
    monkeypatch.setitem(
        problems.SOURCES,
        "table",
        lambda settings: asked.append(settings.path) or Loaded(rows("mine", "1+1?"), left()),
    )
    problems.load(params.Problems.read({"problems": {"sources": ["table"]} | ENTRIES}))
    assert asked == ["mine.parquet"]


def test_the_registry_has_the_sources_that_params_may_name():
    assert set(problems.SOURCES) == set(params.Problems.model_fields) - {"sources"}


def test_the_rows_stand_in_the_order_of_the_list_of_sources_and_then_in_their_own(mix):
    loaded = mix(gym=rows("gym", "b?", "a?"), gsm8k=rows("gsm8k", "d?", "c?"))
    assert loaded.problems["problem_id"].to_list() == ["gym/0", "gym/1", "gsm8k/0", "gsm8k/1"]
    loaded = mix(gsm8k=rows("gsm8k", "d?", "c?"), gym=rows("gym", "b?", "a?"))
    assert loaded.problems["question"].to_list() == ["d?", "c?", "b?", "a?"]
    assert loaded.problems.schema == COLUMNS


@pytest.mark.parametrize(
    "same",
    [
        "What is\n1 + 1?",
        "  What  is \t 1\u00a0+ 1? ",
        "What is\u20031\r\n+ 1?",
    ],
)
def test_white_space_makes_no_other_question(mix, same):
    loaded = mix(gym=rows("gym", "What is 1 + 1?"), gsm8k=rows("gsm8k", same, "Another?"))
    assert loaded.problems["problem_id"].to_list() == ["gym/0", "gsm8k/1"]


def test_the_form_of_unicode_makes_no_other_question_but_case_signs_and_spacing_inside_a_word_do(mix):
    # e + combining acute is the same as the one letter
    loaded = mix(
        gym=rows("gym", "How old is Ren\u00e9?"),
        gsm8k=rows(
            "gsm8k", "How old is Rene\u0301?", "how old is Ren\u00e9?", "How old is Ren\u00e9", "Howold is Rene?"
        ),
    )
    assert loaded.problems["problem_id"].to_list() == ["gym/0", "gsm8k/1", "gsm8k/2", "gsm8k/3"]


def test_a_question_that_an_earlier_source_has_is_kept_on_record_with_the_one_that_it_repeats(mix):
    loaded = mix(gym=rows("gym", "a?", "b?"), gsm8k=rows("gsm8k", "c?", "b?"), table=rows("mine", "c?", "e?", "a?"))
    assert loaded.problems["problem_id"].to_list() == ["gym/0", "gym/1", "gsm8k/0", "mine/1"]
    assert loaded.left_out.rows() == [
        ("gsm8k", "gsm8k/1", "duplicate of gym/1", "b?"),
        ("mine", "mine/0", "duplicate of gsm8k/0", "c?"),
        ("mine", "mine/2", "duplicate of gym/0", "a?"),
    ]


def test_a_question_that_stands_twice_in_one_source_stays_twice_and_once_or_twice_elsewhere_goes(mix):
    loaded = mix(gym=rows("gym", "a?", "a?"), gsm8k=rows("gsm8k", "a?", "b?", "a?"))
    assert loaded.problems["problem_id"].to_list() == ["gym/0", "gym/1", "gsm8k/1"]
    assert loaded.left_out["reason"].to_list() == ["duplicate of gym/0"] * 2


def test_every_row_of_every_source_is_a_question_or_left_out(mix):
    loaded = mix(gym=Loaded(rows("gym", "a?", "b?"), left("gym/2", "gym/3")), gsm8k=rows("gsm8k", "a?", "c?", "d?"))
    assert (loaded.problems.height, loaded.left_out.height) == (4, 3)
    assert loaded.left_out["reason"].to_list() == ["does not split", "does not split", "duplicate of gym/0"]
    parquet.validate(loaded.left_out, schemas.LeftOut, "left out")


def test_one_problem_id_for_questions_of_two_sources_is_refused_and_named(mix):
    with pytest.raises(ValueError, match=r"problems.gsm8k: problem_id 'x/7' is also one of an earlier source's"):
        mix(gym=rows("gym", "a?", ids=["x/7"]), gsm8k=rows("gsm8k", "b?", "c?", ids=["y", "x/7"]))
    loaded = mix(gym=rows("gym", "a?", ids=["x/7"]), gsm8k=rows("gsm8k", "a?", "c?", ids=["x/7", "y"]))
    assert loaded.problems["problem_id"].to_list() == ["x/7", "y"]  # it is the same question


def test_a_source_that_breaks_the_table_is_named(mix):
    with pytest.raises(ValueError, match="problems of gsm8k: duplicate key"):
        mix(gym=rows("gym", "a?"), gsm8k=rows("gsm8k", "b?", "c?", ids=["y", "y"]))
    with pytest.raises(ValueError, match="rows left out of gym: duplicate key"):
        mix(gym=Loaded(rows("gym", "a?"), left("gym/2", "gym/2")))
    with pytest.raises(ValueError, match="problems of table: column 'reference' is missing"):
        mix(table=rows("mine", "a?").drop("reference"))


def test_sources_without_any_question_are_an_error_that_says_where_the_reasons_are(mix):
    with pytest.raises(ValueError, match=r"no question is left of 2 row\(s\), the first: gym/0: does not split"):
        mix(gym=Loaded(rows("gym"), left("gym/0", "gym/1")))


def test_the_miniature_alone_is_as_it_was():
    document = {"train": 20, "programs": 0.2, "slips": 0.3, "guesses": 0.3, "seed": 0}
    loaded = problems.load(params.Problems.read({"problems": {"sources": ["miniature"], "miniature": document}}))
    assert loaded.problems["problem_id"][0] == "chain_sum-train-00000"
    assert loaded.problems.height == 20
    assert loaded.left_out.is_empty()
