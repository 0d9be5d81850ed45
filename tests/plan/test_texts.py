"""Tokens of a run's texts: assumed beforehand, measured where table and tokenizer are there."""

from pathlib import Path

import polars as pl
import pytest
from planned import document, saved

from vr.plan import texts
from vr.renderers.renderer import Wording, load
from vr.settings.params import Problems, Shared

PROMPTS = Path(__file__).parents[2] / "vr" / "recipes" / "prompts"


def assumed(**changes: object) -> texts.Texts:
    entries = document("miniature", **changes)
    return texts.assumed(Problems.read(entries), Shared.read(entries))


def test_a_mixture_has_the_mean_of_its_sources_by_their_questions() -> None:
    gsm8k = {"data": "x", "revision": None, "rows": 500}
    found = assumed(problems__sources=["miniature", "gsm8k"], problems__gsm8k=gsm8k)
    assert found.questions == 1500 + 500
    assert found.trace == pytest.approx((1500 * 20 + 500 * 102) / 2000)
    assert found.programs == pytest.approx(1500 * 0.2 / 2000)
    assert found.longest == 450


def test_a_hint_that_is_the_answer_alone_makes_q_s_prompt_shorter() -> None:
    assert assumed().posterior_prompt - assumed(hint="answer").posterior_prompt == 8


def test_texts_of_one_s_own_are_not_known_beforehand() -> None:
    table = {"path": "mine.jsonl", "name": "mine"}
    with pytest.raises(ValueError, match="'table' is not known beforehand: run `dvc repro problems base` first"):
        assumed(problems__sources=["table"], problems__table=table)


def test_a_table_is_measured_as_it_will_be_trained_on(tmp_path: Path, tiny_model: Path) -> None:
    table = saved(tmp_path / "problems.parquet", "1+1", "1+1+0+0+0")
    shared = Shared.read(document("miniature", prompts=str(PROMPTS)))
    found = texts.measured(table, tiny_model, shared)
    renderer = load(tiny_model, Wording((PROMPTS / "reasoner.txt").read_text().strip(), "", "", "", "", "initial"))
    rows = [example.ids for example in renderer.initial_examples(pl.read_parquet(table).to_dicts())]
    assert found.row == pytest.approx(sum(map(len, rows)) / 2)
    assert found.longest >= max(map(len, rows))
    assert (found.questions, found.programs) == (2, 0)
    assert found.posterior_prompt > found.prompt


def test_what_an_earlier_run_has_drawn_takes_the_place_of_what_is_assumed(tmp_path: Path) -> None:
    traces = tmp_path / "seed=0.parquet"
    pl.DataFrame({"trace_ids": [[1, 2, 3], [4]]}).write_parquet(traces)
    found = texts.with_tables(assumed(), traces, tmp_path / "none.parquet")
    assert (found.sampled_trace, found.sampled_answer) == (2, None)
    assert str(traces) in found.source
    assert texts.response_tokens(tmp_path / "none.parquet") is None


def test_a_table_with_another_number_of_rows_belongs_to_another_run(tmp_path: Path) -> None:
    table = saved(tmp_path / "problems.parquet", "1+1")
    entries = document("miniature", problems__miniature__train=1)
    assert texts.belongs(Problems.read(entries), table)
    assert not texts.belongs(Problems.read(document("miniature")), table)
    assert not texts.belongs(Problems.read(entries), tmp_path / "none.parquet")
