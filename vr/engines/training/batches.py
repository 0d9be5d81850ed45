"""Rows of the training set to micro-batches: how rows are read, which go together, and their tensors.

B rows, T tokens.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence, Sized
from itertools import accumulate, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset, Sampler

from vr.engines.training.loss import IGNORED


class Rows(Dataset[dict[str, Any]]):
    """The rows of a training set (training_set.py), out of its memory-mapped file; `lengths` are their tokens.

    The library `datasets` takes milliseconds a batch for the same, a few percent of a small model's step.
    """

    def __init__(self, table: pa.Table) -> None:
        column = table.column("input_ids")
        self.lengths: list[int] = pc.list_value_length(column).to_pylist()
        self._starts = list(accumulate(map(len, column.chunks), initial=0))
        self._chunks = [(chunk.offsets.to_numpy(), chunk.values.to_numpy()) for chunk in column.chunks]
        self._trained_from, self._weights = (table.column(name).to_numpy() for name in ("trained_from", "weight"))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        chunk = bisect_right(self._starts, index) - 1
        offsets, ids = self._chunks[chunk]
        begin, end = offsets[index - self._starts[chunk] :][:2]
        return {
            "input_ids": ids[begin:end],
            "trained_from": self._trained_from[index],
            "weight": self._weights[index],
        }


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """input_ids and labels (B, T), padded on the right; weight (B), the bits of float64 as int64.

    There is no attention mask: in a causal model no token sees the padding to its right, and the padding itself is
    not trained on. Weights travel as bits because transformers casts every float of a batch to the training
    precision: in bf16 a weight of 0.3 would become 0.30078. Integers are left alone.
    """
    shape = (len(rows), max(len(row["input_ids"]) for row in rows))
    input_ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    for index, row in enumerate(rows):
        ids, trained_from = torch.tensor(row["input_ids"], dtype=torch.long), int(row["trained_from"])
        input_ids[index, : len(ids)] = ids
        labels[index, trained_from : len(ids)] = ids[trained_from:]
    weights = torch.tensor([float(row["weight"]) for row in rows], dtype=torch.float64)
    return {"input_ids": input_ids, "labels": labels, "weight": weights.view(torch.int64)}


def weights_of(bits_B: torch.Tensor) -> torch.Tensor:
    """The weights, float64, out of `collate`'s bits."""
    return bits_B.view(torch.float64)


class ByLength(Sampler[int]):
    """The rows of each step in such an order that micro-batches and ranks get rows of similar length.

    Which rows a step has does not change, and a step's gradient is a sum over its rows, so what is learnt stays the
    same. There is less padding, and no rank waits for another one's long rows.
    """

    def __init__(self, rows: Sampler[int], lengths: Sequence[int], *, ranks: int, micro_batch: int, step: int) -> None:
        """Order what `rows` yields.

        Args:
            rows: row numbers in the order of training.
            lengths: tokens of every row.
            micro_batch: rows that a rank takes at once; micro-batches go to the ranks in turn.
            step: rows of a step.
        """
        self._rows, self._lengths, self._step = rows, lengths, step
        assert len(self) % step == 0
        self._ranks, self._group = ranks, ranks * micro_batch

    def __len__(self) -> int:
        assert isinstance(self._rows, Sized)
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        rows = iter(self._rows)
        while step := sorted(islice(rows, self._step), key=lambda row: -self._lengths[row]):
            for start in range(0, len(step), self._group):
                group = step[start : start + self._group]
                for rank in range(self._ranks):
                    yield from group[rank :: self._ranks]

    def set_epoch(self, epoch: int) -> None:
        """Tell the order below, which shuffles anew in every epoch."""
        if hasattr(self._rows, "set_epoch"):
            self._rows.set_epoch(epoch)
