"""Rows for supervised training: tables to token rows, token rows to the set on disk that LLaMA-Factory reads.

Three kinds of rows (App. C.1 and C.3 of arXiv 2509.22637): (x, z*, y*) for pi_0, (x, y', z*) for q, and the final
model's rows, whose token ids come as they are from the table `final`. Nothing here trains (vr/training.py) and
nothing chooses or weighs rows (vr/weights.py). Tables come in pieces and rows go out one by one: memory does not grow
with their number.
T tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from vr.renderers import markers
from vr.renderers.renderer import Example, Renderer

IGNORED = -100
"""Label of a token that is given, not trained on: the value that torch's and LLaMA-Factory's losses leave out."""

_FLUSH_TOKENS = 1 << 20  # tokens held in memory before they go to disk
_SCHEMA = pa.schema(
    {
        "input_ids": pa.list_(pa.int32()),
        "attention_mask": pa.list_(pa.int8()),
        "labels": pa.list_(pa.int32()),
        "weight": pa.float64(),
    }
)


@dataclass(frozen=True)
class WeightedRow:
    """A row and its loss weight w_i >= 0."""

    row: Example
    weight: float


@dataclass(frozen=True)
class Statistics:
    """What a training set consists of; one CSV row beside the model."""

    rows: int
    """rows that were given"""
    padding_rows: int
    """rows of weight 0 added so that the last batch is whole"""
    rows_truncated: int
    """rows longer than cutoff_len, cut at their end"""
    response_tokens: int
    """tokens trained on, all rows together"""
    normalizer_tokens: float
    """C, the mean response length"""
    weight_mean: float
    """mean of w_i over the given rows"""
    longest_row_tokens: int
    """after cutting"""


def initial_rows(problems: Iterable[pl.DataFrame], coder: Renderer, default_system: str) -> Iterator[WeightedRow]:
    """pi_0's rows: (x, z*, y*) of every train problem in the frames of `problems`, weight 1.

    Raises:
        ValueError: a solution without its markers; names the problem.
    """
    for problem, thought, solution in _solved(problems):
        row = coder.reasoner_row(
            problem["question"],
            problem["system"] or default_system,
            coder.ended(thought, markers.END_THOUGHT),
            coder.ended(solution, markers.END_SOLUTION),
        )
        yield WeightedRow(row, 1.0)


def posterior_rows(
    problems: Iterable[pl.DataFrame], coder: Renderer, posterior_system: str, hint: str, template: str
) -> Iterator[WeightedRow]:
    """q's rows: (x, y', z*) of every train problem in the frames, weight 1; z* ends with the template's own marker.

    Raises:
        ValueError: a solution without its markers; names the problem.
    """
    _, end_marker = markers.trace_markers(template)
    for problem, thought, solution in _solved(problems):
        row = coder.posterior_row(
            problem["question"],
            posterior_system,
            markers.hint_text(hint, solution, problem["reference"]),
            template,
            coder.ended(thought, end_marker),
        )
        yield WeightedRow(row, 1.0)


def final_rows(
    final: Iterable[pl.DataFrame], problems: pl.DataFrame, coder: Renderer, default_system: str
) -> Iterator[WeightedRow]:
    """The final model's rows: question by problem_id, trace and answer ids as they stand in the frames of `final`.

    Args:
        final: frames of tables.Final: problem_id, weight, trace_ids, answer_ids.
        problems: problem_id, question, system.

    Raises:
        ValueError: a problem_id that `problems` lacks.
    """
    asked = {
        problem_id: (question, system or default_system)
        for problem_id, question, system in problems.select("problem_id", "question", "system").iter_rows()
    }
    columns = ("problem_id", "weight", "trace_ids", "answer_ids")
    for problem_id, weight, trace_ids, answer_ids in chain.from_iterable(f.select(columns).iter_rows() for f in final):
        if problem_id not in asked:
            raise ValueError(f"final: problem_id {problem_id!r} is not in problems")
        yield WeightedRow(coder.reasoner_row(*asked[problem_id], trace_ids, answer_ids), weight)


def _solved(problems: Iterable[pl.DataFrame]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every train problem with its z* and y*."""
    for problem in chain.from_iterable(frame.filter(split="train").iter_rows(named=True) for frame in problems):
        try:
            thought, solution = markers.split_response(problem["solution"])
        except ValueError as error:
            raise ValueError(f"problems: {problem['problem_id']!r}: {error}") from error
        yield problem, thought, solution


def save(rows: Iterable[WeightedRow], folder: Path, *, cutoff_len: int, multiple_of: int) -> Statistics:
    """Write rows as the `DatasetDict` that LLaMA-Factory's `tokenized_path` reads, in their order.

    Columns: input_ids, attention_mask, labels (all length T; `IGNORED` before `trained_from`), weight. Rows stream
    to disk. A row longer than `cutoff_len` tokens is cut at its end. Rows of weight 0 without any label fill the set
    up to a multiple of `multiple_of` (the global batch): every step then has the same number of rows on every rank,
    and no loader repeats rows to even out the last batch.

    C is the weighted mean response length, sum_i w_i len_i / sum_i w_i: the plain mean where all weights are equal,
    and, as in the loss's numerator, a row of weight 0 counts nothing and a row of weight 2 counts as two rows.

    Raises:
        ValueError: no rows, a negative weight, or nothing to train on (all weights 0, or all responses cut off).
    """
    from datasets import Dataset, DatasetDict  # seconds to import

    rows_n = truncated = response_tokens = longest = 0
    weight_sum = weighted_tokens = 0.0
    stream = folder.with_name(f"{folder.name}.arrow")
    stream.parent.mkdir(parents=True, exist_ok=True)
    filler: list[int] = []
    try:
        with _Writer(stream) as writer:
            for item in rows:
                if not item.weight >= 0:
                    raise ValueError(f"row {rows_n}: weight {item.weight} is not >= 0")
                ids, start = item.row.ids[:cutoff_len], item.row.trained_from
                # Nothing predicts a row's first token, so it is never part of the loss.
                length = max(0, len(ids) - max(start, 1))
                writer.add(ids, len(ids) - length, item.weight)
                rows_n += 1
                truncated += len(ids) < len(item.row.ids)
                response_tokens += length
                longest = max(longest, len(ids))
                weight_sum += item.weight
                weighted_tokens += item.weight * length
                filler = filler or ids[:1]
            if rows_n == 0:
                raise ValueError("no rows to train on")
            if weighted_tokens == 0:
                raise ValueError(
                    f"nothing to train on in {rows_n} rows: the weights sum to {weight_sum:g},"
                    f" {response_tokens} response tokens are left within cutoff_len = {cutoff_len}"
                )
            padding = -rows_n % multiple_of
            for _ in range(padding):
                writer.add(filler, len(filler), 0.0)
        DatasetDict({"train": Dataset.from_file(str(stream))}).save_to_disk(str(folder))
    finally:
        stream.unlink(missing_ok=True)
    return Statistics(
        rows=rows_n,
        padding_rows=padding,
        rows_truncated=truncated,
        response_tokens=response_tokens,
        normalizer_tokens=weighted_tokens / weight_sum,
        weight_mean=weight_sum / rows_n,
        longest_row_tokens=longest,
    )


class _Writer:
    """An Arrow stream file that is written in pieces of about `_FLUSH_TOKENS` tokens."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._file, _SCHEMA)
        self._clear()

    def _clear(self) -> None:
        self._ids: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._weights: list[float] = []
        self._tokens = 0

    def add(self, ids: list[int], trained_from: int, weight: float) -> None:
        self._ids.append(np.array(ids, dtype=np.int32))
        self._labels.append(self._ids[-1].copy())
        self._labels[-1][:trained_from] = IGNORED
        self._weights.append(weight)
        self._tokens += len(ids)
        if self._tokens >= _FLUSH_TOKENS:
            self._flush()

    def _flush(self) -> None:
        offsets = np.cumsum([0, *map(len, self._ids)], dtype=np.int32)
        flat = (np.concatenate(self._ids), np.ones(self._tokens, dtype=np.int8), np.concatenate(self._labels))
        lists = [pa.ListArray.from_arrays(offsets, values) for values in flat]
        self._stream.write_batch(pa.record_batch([*lists, pa.array(self._weights, pa.float64())], schema=_SCHEMA))
        self._clear()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None and self._ids:
            self._flush()
        self._stream.close()
        self._file.close()
