"""Every real row of the sets that can be had here loads through the same code as the hub's."""

from pathlib import Path

import polars as pl
import pytest
from benchmark_sets import needs_real_rows, real_folder, settings

from vr.method import judging
from vr.settings.machine import Machine
from vr.sources import benchmarks

pytestmark = needs_real_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return real_folder(tmp_path_factory.mktemp("benchmarks"))


@pytest.mark.parametrize(
    ("name", "rows", "first", "reference"),
    [
        ("math500", 500, "math500/test/precalculus/807.json", "\\left( 3, \\frac{\\pi}{2} \\right)"),
        ("aime24", 30, "aime24/60", "204"),
        ("aime25", 30, "aime25/0", "70"),
        ("amc23", 40, "amc23/43", "27"),
        ("mmlu_pro", 12_032, "mmlu_pro/70", "I"),
        ("gsm8k", 1319, "gsm8k/0", "18"),
    ],
)
def test_every_row_of_a_set_of_published_size_is_a_question(folder, name, rows, first, reference):
    table = benchmarks.load(name, settings(size="published"), str(folder))
    assert table.height == rows
    assert table.select("problem_id", "reference").row(0) == (first, reference)


def test_every_row_of_olympiadbench_is_a_question_and_the_one_too_many_is_an_error(folder):
    # the release on the hub has 674, the older one 675
    assert benchmarks.load("olympiadbench", settings(), str(folder)).height == 675
    with pytest.raises(ValueError, match="675 questions in Hothan/OlympiadBench, 674 were published"):
        benchmarks.load("olympiadbench", settings(size="published"), str(folder))


def test_the_answers_of_aime_have_no_leading_zeros_and_are_up_to_999(folder):
    for name in ("aime24", "aime25"):
        references = benchmarks.load(name, settings(), str(folder))["reference"].to_list()
        assert all(str(int(reference)) == reference and 0 <= int(reference) <= 999 for reference in references)


NOT_JUDGED = {
    # its answer is a formula and a sentence about the letters in it
    ("olympiadbench/1965", "unparsable_reference"),
}
ALSO_RIGHT = {("x=5", "5")}
"""A reference, and the answer to the question before, which is the same one."""


def outcomes(questions: pl.DataFrame) -> list[str]:
    """The verdicts on their solutions."""
    return judging.self_check(questions, Machine(verify_workers=1))["outcome"].to_list()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["math500", "olympiadbench", "gsm8k", "aime24"])
def test_own_solutions_are_right_but_for_a_named_few(folder, name):
    table = benchmarks.load(name, settings(), str(folder)).drop_nulls("solution")
    found = zip(table["problem_id"], outcomes(table), strict=True)
    assert {pair for pair in found if pair[1] != "correct"} == {pair for pair in NOT_JUDGED if pair[0].startswith(name)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["math500", "olympiadbench", "gsm8k", "aime24"])
def test_the_solution_of_the_question_before_is_right_only_where_the_answers_are_the_same(folder, name):
    table = benchmarks.load(name, settings(), str(folder)).drop_nulls("solution")
    shifted = table[1:].with_columns(table["solution"][:-1], before=table["reference"][:-1])
    pairs = shifted.filter(pl.Series(outcomes(shifted)) == "correct").select("reference", "before").rows()
    assert {pair for pair in pairs if pair[0] != pair[1]} <= ALSO_RIGHT
