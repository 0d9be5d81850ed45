"""Rows of multiple choice: the options as the official prompts write them, and the letter of the right one."""

import random
import string
from typing import Any

from vr.settings.params import HubBenchmark
from vr.sources.benchmarks.entry import Entry, Row

LETTERS = string.ascii_uppercase[:10]
"""A to J, which is as far as the verifier reads."""
RIGHT = "Correct Answer"
WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def gpqa(row: Row, entry: Entry, settings: HubBenchmark, name: str) -> dict[str, Any]:
    """A row of GPQA: four answers, of which the first column is right, in an order that the seed draws.

    The order of a question depends on the seed and its own name alone, so it is the same in every draw of questions.
    The official code shuffles without a seed.
    """
    order = random.Random(f"{settings.seed} {name}").sample((RIGHT, *WRONG), 4)
    options = ", ".join(f"{letter}) {row[column]}" for letter, column in zip(LETTERS, order, strict=False))
    return {"question": entry.asked(f"{row[entry.question]}\n{options}"), "reference": LETTERS[order.index(RIGHT)]}


def mmlu_pro(row: Row, entry: Entry, _settings: HubBenchmark, name: str) -> dict[str, Any]:
    """A row of MMLU-Pro: 1 to 10 options, in the set's own order, as the official code keeps them.

    Raises:
        ValueError: there are more options than letters, or the right one is not among them.
    """
    options, right = row["options"], row["answer_index"]
    if not 0 <= right < len(options) <= len(LETTERS):
        raise ValueError(f"{name}: answer_index {right} of {len(options)} options (1 to {len(LETTERS)} can be read)")
    listed = " ".join(f"({letter}) {option.strip()}" for letter, option in zip(LETTERS, options, strict=False))
    return {
        "question": entry.asked(f"{row[entry.question]}\nAnswer Choices: {listed}"),
        "reference": LETTERS[right],
    }
