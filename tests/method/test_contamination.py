"""Held-out questions that stand among the training questions are counted, as a whole and by 13 words in a row."""

import time

import pytest

from vr.method.contamination import Overlap, in_words, overlaps
from vr.sources.benchmarks import CATALOGUE
from vr.sources.wordings import AS_A_NUMBER, FUNCTION_BODY, IN_A_BOX, INSTRUCTIONS, STDIN

THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"
TWELVE = THIRTEEN.removesuffix(" thirteen")


def overlap(training: list[str], held_out: list[str]) -> Overlap:
    return overlaps(training, {"b": held_out}, INSTRUCTIONS)["b"]


def test_a_question_that_training_has_is_counted_and_another_is_not() -> None:
    assert overlap(["What is 2+2?"], ["What is 2+2?", "What is 2+3?"]) == Overlap(2, equal=1, overlapping=0)


@pytest.mark.parametrize("same", ["what is  2+2?", "\nWhat is 2 + 2? ", "WHAT IS ２+2?"])
def test_case_white_space_and_the_form_of_unicode_make_no_other_question(same: str) -> None:
    assert overlap([same], ["What is 2+2?"]).equal == 1


@pytest.mark.parametrize("other", ["What is 2-2?", "What is 22?", "What is 2+2"])
def test_a_sign_makes_another_question(other: str) -> None:
    assert overlap([other], ["What is 2+2?"]).equal == 0


def test_thirteen_words_in_a_row_overlap_and_twelve_do_not() -> None:
    assert overlap([f"Say: {THIRTEEN}. Then stop."], [f"So {THIRTEEN}, you see"]) == Overlap(1, 0, overlapping=1)
    assert overlap([f"Say: {TWELVE}. Then stop."], [f"So {TWELVE}, you see"]) == Overlap(1, 0, overlapping=0)


def test_the_thirteen_words_have_to_be_in_one_training_question() -> None:
    begin, end = THIRTEEN.split(" seven")
    assert overlap([f"{begin} seven", f"seven{end}", f"{begin} seven, no: {end}"], [THIRTEEN]).overlapping == 0


def test_a_question_equal_to_one_of_thirteen_words_or_more_counts_in_both() -> None:
    assert overlap([THIRTEEN], [THIRTEEN]) == Overlap(1, equal=1, overlapping=1)
    assert overlap([TWELVE], [TWELVE]) == Overlap(1, equal=1, overlapping=0)


@pytest.mark.parametrize("instruction", [IN_A_BOX, STDIN, FUNCTION_BODY])
def test_a_shared_instruction_is_no_overlap(instruction: str) -> None:
    training, held_out = f"{instruction}Add two numbers a and b.", f"{instruction}Sort the list of names."
    assert overlap([training], [held_out]) == Overlap(1, equal=0, overlapping=0)


def test_an_instruction_after_the_question_is_no_overlap_either() -> None:
    training, held_out = f"How many apples has he in total? {AS_A_NUMBER}", f"What do they cost in total? {AS_A_NUMBER}"
    assert overlap([IN_A_BOX + training], [IN_A_BOX + held_out]) == Overlap(1, equal=0, overlapping=0)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_the_same_question_under_any_benchmarks_prompt_is_found(entry) -> None:
    question = f"How many of {THIRTEEN} are odd?"
    assert overlap([IN_A_BOX + question], [entry.asked(question)]).overlapping == 1
    alone = entry.prompt.replace("{question}", "").strip() in [text.strip() for text in INSTRUCTIONS]
    assert overlap([IN_A_BOX + question], [entry.asked(question)]).equal == alone


def test_every_benchmark_has_counts_of_its_own() -> None:
    found = overlaps(["a", "b"], {"first": ["a", "b", "c"], "second": ["c"]}, ())
    assert found == {"first": Overlap(3, 2, 0), "second": Overlap(1, 0, 0)}
    assert in_words(found) == (
        "first: 2 of 3 as a whole, 0 by 13 words in a row; second: 0 of 1 as a whole, 0 by 13 words in a row"
    )


@pytest.mark.slow
def test_all_of_the_papers_questions_are_compared_in_seconds() -> None:
    """17,000 training questions of 200 words with 12,000 held-out ones of 100."""
    training = [" ".join(f"w{(i * 31 + j * 7) % 9973}" for j in range(200)) for i in range(17_000)]
    held_out = [" ".join(f"v{(i * 31 + j * 7) % 9973}" for j in range(100)) for i in range(12_000)]
    begin = time.process_time()
    assert overlap(training, held_out) == Overlap(12_000, equal=0, overlapping=0)
    assert time.process_time() - begin < 60
