r"""Rows of mathematics: the reference, what else is right, and the set's own solution.

A worked solution stands in the table as thought and answer both, since such sets do not tell them apart; one without a
box names no answer that could be judged, and is left out.
"""

import json
import re
from typing import Any

from vr.renderers import markers
from vr.settings.params import HubBenchmark
from vr.sources import gsm8k
from vr.sources.benchmarks.entry import Entry, Row

_WHOLE = re.compile(r"\s*([+-]?\d+)(?:\.0+)?(?:\^\{?\\circ\}?)?\s*", re.ASCII)


def short_answer(row: Row, entry: Entry, _settings: HubBenchmark, _name: str) -> dict[str, Any]:
    """A row with an answer as a formula and, in some sets, a worked solution."""
    return {
        "question": entry.asked(row[entry.question]),
        "reference": row["answer"],
        "solution": _worked(row.get("solution")),
    }


def whole_number(row: Row, entry: Entry, settings: HubBenchmark, name: str) -> dict[str, Any]:
    r"""As `short_answer`; the answer is a whole number, which sets write as 073, 27.0 or 336^\circ."""
    return short_answer(row, entry, settings, name) | {"reference": shortest(row["answer"])}


def grade_school(row: Row, entry: Entry, _settings: HubBenchmark, name: str) -> dict[str, Any]:
    """A row of GSM8K: lines of working, and the number after them.

    Raises:
        ValueError: its answer is not both.
    """
    parts = gsm8k.split_answer(row["answer"])
    if parts is None:
        raise ValueError(f"{name}: its answer is not lines of working and then `#### NUMBER`")
    working, number = parts
    return {
        "question": entry.asked(row[entry.question].strip()),
        "reference": number,
        "solution": markers.join_response(working, f"\\boxed{{{number}}}"),
    }


def shortest(answer: str | float) -> str:
    """A whole number without leading zeros, decimals and degrees; any other answer as it stands."""
    found = _WHOLE.fullmatch(str(answer))
    return str(int(found.group(1))) if found else str(answer)


def final_answers(row: Row, entry: Entry, settings: HubBenchmark, _name: str) -> dict[str, Any]:
    """A row of OlympiadBench. Several final answers are all asked for where the row says so, otherwise each is right.

    The tolerance is absolute: one number, or one for each part, as in the set's own judge (OpenBMB/OlympiadBench,
    README, "answer types"). By the official rule of the paper's code the first final answer alone counts.
    """
    answers = row["final_answer"]
    reference = ", ".join(answers) if row["is_multiple_answer"] and not settings.official else answers[0]
    also = [] if row["is_multiple_answer"] else answers[1:]
    tests = {"also": also, "tolerance": _tolerance(row["error"])}
    stated = {} if settings.official else {name: value for name, value in tests.items() if value}
    return {
        "question": entry.asked(row[entry.question]),
        "reference": reference,
        "tests": json.dumps(stated) if stated else None,
        "solution": markers.join_response("\n\n".join(row["solution"]) or reference, f"\\boxed{{{reference}}}"),
    }


def _tolerance(error: str | None) -> float | list[float] | None:
    """`1e-1`, or one number for each part: `1e-1,1e-2`; None: answers are exact.

    Raises:
        ValueError: it is no number.
    """
    parts = [float(part) for part in (error or "").split(",") if part.strip()]
    return parts if len(parts) > 1 else next(iter(parts), None)


def _worked(solution: str | None) -> str | None:
    """A worked solution as a response; None where there is none, or none with a box."""
    if solution is None or markers.last_box(solution) is None:
        return None
    return markers.join_response(solution, solution)
