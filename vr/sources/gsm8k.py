"""GSM8K's training questions: the worked solution is z*, the final number in a box y*.

Source: `openai/gsm8k`, configuration main (MIT). An answer there is lines of working with marks of a calculator in
them (`48/2 = <<48/2=24>>24 clips`) and, as its last line, `#### 72`. The marks are removed: they say the sum twice.
"""

import re
from typing import Any

import polars as pl

from vr.renderers import markers
from vr.settings.sources import Gsm8k
from vr.sources import hub
from vr.sources.loaded import COLUMNS, Loaded
from vr.sources.wordings import IN_A_BOX
from vr.tables import parquet, schemas

CONFIG = "main"
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_ANSWER = re.compile(r"(?P<working>.*\S)\s*\n####\s*(?P<number>-?[\d,]*\.?\d+)\s*", re.DOTALL)


def load(settings: Gsm8k) -> Loaded:
    """The training questions. Rows whose answer is not working and a number are left out, with the reason.

    Raises:
        FileNotFoundError, ValueError: the set cannot be read (vr/sources/hub.py).
    """
    table = hub.rows(
        settings.data, revision=settings.revision, config=CONFIG, split="train", columns=("question", "answer")
    )
    problems: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for n, (question, answer) in enumerate(table.head(_size(settings, table)).iter_rows()):
        row = f"gsm8k/train/{n}"
        if (parts := split_answer(answer or "")) and (question or "").strip():
            problems.append(_problem(row, question, *parts))
        else:
            reason = "no question, or its answer is not lines of working and then `#### NUMBER`"
            left_out.append({"source": "gsm8k", "source_row": row, "reason": reason, "question": question or ""})
    return Loaded(pl.DataFrame(problems, schema=COLUMNS), pl.DataFrame(left_out, schema=parquet.types(schemas.LeftOut)))


def _size(settings: Gsm8k, table: pl.DataFrame) -> int:
    return table.height if settings.rows == "all" else settings.rows


def split_answer(answer: str) -> tuple[str, str] | None:
    """The working without a calculator's marks, and the number without commas; None where it is not both."""
    found = _ANSWER.fullmatch(answer)
    if found is None:
        return None
    return _CALCULATOR.sub("", found["working"]).strip(), found["number"].replace(",", "")


def _problem(problem_id: str, question: str, working: str, number: str) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "source": "gsm8k",
        "question": IN_A_BOX + question.strip(),
        "reference": number,
        "verifier": "math",
        "solution": markers.join_response(working, f"\\boxed{{{number}}}"),
    }
