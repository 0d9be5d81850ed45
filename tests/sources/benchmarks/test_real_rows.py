"""Every real row of the sets that can be had here loads through the same code as the hub's."""

from pathlib import Path

import pytest
from benchmark_sets import needs_real_rows, real_folder, settings

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
