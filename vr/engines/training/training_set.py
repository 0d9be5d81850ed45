"""The training set on disk: weighted examples to the folder that LLaMA-Factory reads (`tokenized_path`).

Written in the format of `datasets.DatasetDict.save_to_disk`, but streamed, and without that library, which takes
seconds to import and would copy the data once more. Labels and attention masks are not stored: the collator makes
them from `trained_from` (vr/engines/training/batches.py).
Not covered: which rows there are (vr/renderers/training_rows.py, vr/method).
T tokens.
"""

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from vr.renderers.model_directory import unknown_id
from vr.renderers.training_rows import WeightedExample
from vr.tables.files import atomic_folder

_DATA = Path("train", "data-00000-of-00001.arrow")
_FLUSH_TOKENS = 1 << 20  # tokens held in memory before they go to disk
_SCHEMA = pa.schema({"input_ids": pa.list_(pa.int32()), "trained_from": pa.int32(), "weight": pa.float64()})
_FEATURES = {
    "input_ids": {"_type": "List", "feature": {"dtype": "int32", "_type": "Value"}},
    "trained_from": {"dtype": "int32", "_type": "Value"},
    "weight": {"dtype": "float64", "_type": "Value"},
}


@dataclass(frozen=True)
class TrainingSetStats:
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


def save(
    rows: Iterable[WeightedExample], folder: Path, *, cutoff_len: int, multiple_of: int, vocabulary: int
) -> TrainingSetStats:
    """Write rows, in their order, to `folder`, which appears whole or not at all.

    Columns: input_ids (T), trained_from (the loss covers input_ids[trained_from:]; T where nothing is trained on),
    weight. Memory does not grow with the number of rows. A row longer than `cutoff_len` tokens is cut at its end. Rows
    of weight 0 with nothing to train on fill the set up to a multiple of `multiple_of` (the global batch): every step
    then has the same number of rows on every rank, and no loader repeats rows to even out the last batch.

    C is the weighted mean response length, sum_i w_i len_i / sum_i w_i. It is the plain mean where all weights are
    equal. As in the loss's numerator, a row of weight 0 counts nothing and a row of weight 2 counts as two rows.

    Args:
        vocabulary: token ids that the model knows.

    Raises:
        ValueError: no rows, a weight that is no number >= 0, a token id that the model does not know, or nothing to
            train on (all weights 0, or all responses cut off).
        OSError: the disk is full.
    """
    with atomic_folder(folder) as part:
        with _Writer(part / _DATA, cutoff_len, vocabulary) as writer:
            for row in rows:
                writer.add(row)
            stats = writer.stats(padding_rows=-writer.rows % multiple_of)
            writer.pad(stats.padding_rows)
        _describe(part)
    return stats


def data_file(folder: Path) -> Path:
    """The file of a saved set that holds its rows: equal sets have equal files."""
    return folder / _DATA


def _describe(folder: Path) -> None:
    """Write the JSON files that `datasets.load_from_disk` looks for."""
    state: dict[str, Any] = {
        "_data_files": [{"filename": _DATA.name}],
        "_fingerprint": "rows",  # a name in datasets' own cache, which is not used
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    info = {"citation": "", "description": "", "features": _FEATURES, "homepage": "", "license": ""}
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    (folder / "train" / "state.json").write_text(json.dumps(state))
    (folder / "train" / "dataset_info.json").write_text(json.dumps(info))


class _Writer:
    """Rows to an Arrow stream file, in pieces of about `_FLUSH_TOKENS` tokens, with the sums for the statistics."""

    def __init__(self, path: Path, cutoff_len: int, vocabulary: int) -> None:
        path.parent.mkdir()
        self._file = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._file, _SCHEMA)
        self._cutoff_len, self._vocabulary = cutoff_len, vocabulary
        self.rows = 0
        self._truncated = self._response_tokens = self._longest = 0
        self._weight_sum = self._weighted_tokens = 0.0
        self._filler = array("i")
        self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self._flush()
        self._stream.close()
        self._file.close()

    def add(self, row: WeightedExample) -> None:
        """Take one row.

        Raises:
            ValueError: a weight that is no number >= 0, or a token id that the model does not know.
        """
        example, weight = row.example, row.weight
        if not 0 <= weight < inf:
            raise ValueError(f"row {self.rows} to train on: weight {weight} is not a number >= 0")
        whole = array("i", example.ids)
        if not 0 <= np.min(whole, initial=0) <= np.max(whole, initial=0) < self._vocabulary:
            unknown = unknown_id(whole, self._vocabulary)
            raise ValueError(f"row {self.rows} to train on: token id {unknown}, but the model has {self._vocabulary}")
        ids = whole[: self._cutoff_len]
        # Nothing predicts a row's first token, so it is never part of the loss.
        trained_from = min(len(ids), max(example.trained_from, 1))
        self._append(ids, trained_from, weight)
        self.rows += 1
        self._truncated += len(ids) < len(whole)
        self._longest = max(self._longest, len(ids))
        self._response_tokens += len(ids) - trained_from
        self._weight_sum += weight
        self._weighted_tokens += weight * (len(ids) - trained_from)
        self._filler = self._filler or ids[:1]

    def pad(self, number: int) -> None:
        """Add rows of one token and weight 0."""
        for _ in range(number):
            self._append(self._filler, len(self._filler), 0.0)

    def stats(self, padding_rows: int) -> TrainingSetStats:
        """The statistics of the rows that were added.

        Raises:
            ValueError: no rows, or nothing to train on in them.
        """
        if self.rows == 0:
            raise ValueError("no rows to train on")
        if self._weighted_tokens == 0:
            raise ValueError(
                f"nothing to train on in {self.rows} rows: the weights sum to {self._weight_sum:g},"
                f" {self._response_tokens} response tokens are left within cutoff_len = {self._cutoff_len}"
            )
        return TrainingSetStats(
            rows=self.rows,
            padding_rows=padding_rows,
            rows_truncated=self._truncated,
            response_tokens=self._response_tokens,
            normalizer_tokens=self._weighted_tokens / self._weight_sum,
            weight_mean=self._weight_sum / self.rows,
            longest_row_tokens=self._longest,
        )

    def _append(self, ids: "array[int]", trained_from: int, weight: float) -> None:
        self._ids.extend(ids)
        self._ends.append(len(self._ids))
        self._trained_from.append(trained_from)
        self._weights.append(weight)
        if len(self._ids) >= _FLUSH_TOKENS:
            self._flush()

    def _clear(self) -> None:
        self._ids, self._ends, self._trained_from, self._weights = array("i"), array("i", [0]), array("i"), array("d")

    def _flush(self) -> None:
        ids = pa.ListArray.from_arrays(*(np.frombuffer(part, np.int32) for part in (self._ends, self._ids)))
        columns = [ids, np.frombuffer(self._trained_from, np.int32), np.frombuffer(self._weights, np.float64)]
        self._stream.write_batch(pa.record_batch(columns, schema=_SCHEMA))
        self._clear()
