"""Verdicts on sampled text: which part of it is judged, by which verifier, against which reference.

The verifiers (vr/verify) know no table. `answers` and `responses` give the rows of some indices, which is what
vr/execution/resume.py asks for: in their order, but last those on which the checker failed. Too many failures are an
error before any of them is given: so none is saved, what was judged stays, and the next run judges the others again.
"""

import itertools
import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import polars as pl
from tqdm import tqdm

from vr import verify
from vr.renderers.markers import judged_part, split_response
from vr.settings.machine import Machine
from vr.tables.vocabulary import ANSWER_KEY

logger = logging.getLogger(__name__)
QUESTION = ("verifier", "reference", "tests")
"""Columns of a question that its verifier needs."""
Verdicts = Iterator[tuple[int, dict[str, Any]]]
"""Rows with their indices."""
CHECKER_FAILED = ("crashed", "timeout")
"""Outcomes that say something about the checker and the machine alone."""
_TOLERATED_SHARE = 0.01
"""Of a table's rows. Where the checker fails on more, the machine or the installation is at fault, and a score without
those rows could be off by as much as the differences between models that are reported."""
_TOLERATED_ROWS = 1
"""In a small table one accident of the machine is more than that share."""


def answers(answers: pl.DataFrame, indices: Sequence[int], machine: Machine) -> Verdicts:
    """Rows of `schemas.Verifications`. An answer that did not end with its marker is no answer.

    Args:
        answers: rows of `schemas.Answers`: key, text, finish; with the columns `QUESTION` of their problems.
    """

    def task(index: int) -> verify.Task:
        row = answers.row(index, named=True)
        return _task(row, row["text"] if row["finish"] == "marker" else None)

    def rows() -> Verdicts:
        keys = answers.select(ANSWER_KEY)
        verdicts = _verdicts(map(task, indices), len(indices), set(answers["verifier"]), machine)
        for index, verdict in zip(indices, verdicts, strict=True):
            yield index, keys.row(index, named=True) | asdict(verdict)

    return _failures_last(rows(), answers.height, ANSWER_KEY)


def responses(
    asked: pl.DataFrame, drawn: pl.DataFrame, indices: Sequence[int], machine: Machine, *, boxed_without_solution: bool
) -> Verdicts:
    """Rows of `schemas.Evals`.

    Args:
        asked: a row for each response: problem_id, sample and the columns `QUESTION`.
        drawn: the responses in the same order: text, response_tokens, finish.
        boxed_without_solution: mathematics without a solution part is judged by its last box, see `judged_part`.
    """

    kinds = asked["verifier"]
    parts: dict[int, str] = {}  # of the responses that are being judged

    def task(index: int) -> verify.Task:
        complete = drawn["finish"][index] in ("marker", "eos")
        boxed = boxed_without_solution and kinds[index] == "math"
        text, parts[index] = judged_part(drawn["text"][index], complete=complete, boxed_without_solution=boxed)
        return _task(asked.row(index, named=True), text)

    def rows() -> Verdicts:
        keys = asked.select("problem_id", "sample", "verifier")
        verdicts = _verdicts(map(task, indices), len(indices), set(kinds), machine)
        for index, verdict in zip(indices, verdicts, strict=True):
            row = keys.row(index, named=True) | drawn.row(index, named=True)
            yield index, row | {"judged": parts.pop(index), "outcome": verdict.outcome, "detail": verdict.detail}

    return _failures_last(rows(), asked.height, ("problem_id", "sample"))


def self_check(questions: pl.DataFrame, machine: Machine) -> pl.DataFrame:
    """The verdict on each question's own solution: problem_id, outcome, detail. Questions without one are left out.

    Raises:
        RuntimeError: the checker failed on too many, which had better be known before the long work.
    """
    asked = questions.drop_nulls("solution").select("problem_id", "solution", *QUESTION)
    tasks = (_task(row, split_response(row["solution"])[1]) for row in asked.iter_rows(named=True))
    verdicts = _verdicts(tasks, asked.height, set(asked["verifier"]), machine)
    named = zip(asked["problem_id"], verdicts, strict=True)
    rows = ({"problem_id": name, "outcome": verdict.outcome, "detail": verdict.detail} for name, verdict in named)
    checked = dict(_failures_last(enumerate(rows), asked.height, ("problem_id",)))
    columns = {"problem_id": pl.String, "outcome": pl.String, "detail": pl.String}
    return pl.DataFrame([checked[index] for index in range(asked.height)], columns)


def log_self_check(checked: pl.DataFrame) -> None:
    """Say how many own solutions are correct, and name the first that is not."""
    failed = checked.filter(pl.col("outcome") != "correct")
    logger.info("own solutions: %d of %d correct", checked.height - failed.height, checked.height)
    if failed.height:
        logger.warning("%d not accepted by their own verifier, the first: %s", failed.height, failed.row(0))


def _failures_last(rows: Iterable[tuple[int, dict[str, Any]]], total: int, key: Sequence[str]) -> Verdicts:
    """The rows as they come, but those on which the checker failed at the end, if they are few.

    Args:
        total: rows of the whole table, of which these may be a part.
        key: columns that name a row.

    Raises:
        RuntimeError: the checker failed on too many rows.
    """
    failed: dict[int, dict[str, Any]] = {}
    for index, row in rows:
        if row["outcome"] not in CHECKER_FAILED:
            yield index, row
            continue
        failed[index] = row
        if len(failed) > max(_TOLERATED_ROWS, _TOLERATED_SHARE * total):
            raise RuntimeError(f"too many failures: {_in_words(failed, total, key)}")
    if failed:
        logger.warning("%s", _in_words(failed, total, key))
    yield from failed.items()


def _in_words(failed: Mapping[int, Mapping[str, Any]], total: int, key: Sequence[str]) -> str:
    outcomes = Counter(row["outcome"] for row in failed.values())
    counts = ", ".join(f"{outcome} {n}" for outcome, n in outcomes.most_common())
    first = next(iter(failed.values()))
    name = {column: first[column] for column in key}
    return f"the checker failed on {len(failed)} of {total} answers ({counts}), the first: {name}: {first['detail']}"


def _task(question: Mapping[str, Any], answer: str | None) -> verify.Task:
    return verify.Task(question["verifier"], answer, question["reference"], question["tests"])


def _verdicts(
    tasks: Iterable[verify.Task], total: int, kinds: Collection[str], machine: Machine
) -> Iterator[verify.Verdict]:
    """The verdict on every task, in order. Equal answers to one question that follow one another are judged once.

    The M answers to a trace and the n responses to a question are often the same text. A repeated verdict took no time.
    """
    places: deque[list[int]] = deque()  # for each question at work: which of its different tasks each task equals

    def different() -> Iterator[verify.Task]:
        for _, group in itertools.groupby(tasks, key=lambda task: (task.verifier, task.reference, task.tests)):
            of_question = list(group)
            index_of = {task: index for index, task in enumerate(dict.fromkeys(of_question))}
            places.append([index_of[task] for task in of_question])
            yield from index_of

    verdicts = verify.verify(different(), kinds=kinds, **machine.verify_options)
    with tqdm(total=total, desc="verifying", unit="answer") as bar:
        for first in verdicts:
            of_question = places.popleft()
            found = [first, *itertools.islice(verdicts, max(of_question))]
            for index in of_question:
                bar.update()
                yield found[index]
                found[index] = replace(found[index], cpu_seconds=0.0, wall_seconds=0.0)
