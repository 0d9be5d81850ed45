"""Micro-batches: what is padded how, and which rows go together."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from datasets import load_from_disk
from torch.utils.data import Sampler

from vr.engines.training import training_set
from vr.engines.training.batches import ByLength, Rows, collate, weights_of
from vr.engines.training.loss import IGNORED
from vr.renderers.example import Example
from vr.renderers.training_rows import WeightedExample


def test_rows_are_padded_on_the_right_and_trained_from_where_they_say() -> None:
    batch = collate(
        [
            {"input_ids": [5, 6, 7], "trained_from": 1, "weight": 1.0},
            {"input_ids": list(range(1, 10)), "trained_from": 9, "weight": 0.0},
        ]
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7] + [0] * 6, [*range(1, 10)]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7] + [IGNORED] * 6, [IGNORED] * 9]


def test_weights_travel_as_integers_which_nobody_rounds_to_bf16() -> None:
    rows = [{"input_ids": [1, 2], "trained_from": 1, "weight": weight} for weight in (0.3, 1.0)]
    weights = collate(rows)["weight"]
    assert not torch.is_floating_point(weights)
    assert weights_of(weights).tolist() == [0.3, 1.0]


def test_rows_are_read_from_any_chunk_of_the_saved_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "_FLUSH_TOKENS", 5)  # so that the file has several chunks
    rows = [WeightedExample(Example(list(range(n)), 2, (2, n)), n / 10) for n in range(3, 9)]
    training_set.save(rows, tmp_path / "set", cutoff_len=9, multiple_of=1, vocabulary=9)
    read = Rows(load_from_disk(str(tmp_path / "set"))["train"].data)
    assert read.lengths == [3, 4, 5, 6, 7, 8]
    found = [read[index] for index in range(len(read))]
    assert [row["input_ids"].tolist() for row in found] == [list(range(n)) for n in range(3, 9)]
    assert [row["trained_from"] for row in found] == [2] * 6
    assert [row["weight"] for row in found] == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


class Order(Sampler[int]):
    """Row numbers in a fixed order that remembers the epoch."""

    def __init__(self, rows: list[int]) -> None:
        self.rows, self.epoch = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


LENGTHS = [10, 80, 30, 70, 20, 60, 50, 40, 5, 6, 7, 8, 9, 4, 3, 2]


@pytest.mark.parametrize(
    ("ranks", "micro_batch", "first_step"),
    [
        (1, 8, [80, 70, 60, 50, 40, 30, 20, 10]),
        (1, 4, [80, 70, 60, 50, 40, 30, 20, 10]),
        (2, 4, [80, 60, 40, 20, 70, 50, 30, 10]),  # one micro-batch each: equally long for both ranks
        (2, 2, [80, 60, 70, 50, 40, 20, 30, 10]),  # the longest first for both ranks, then the shortest
        (4, 1, [80, 70, 60, 50, 40, 30, 20, 10]),
    ],
)
def test_rows_of_a_step_are_dealt_out_by_length(ranks: int, micro_batch: int, first_step: list[int]) -> None:
    rows = ByLength(Order(list(range(16))), LENGTHS, ranks=ranks, micro_batch=micro_batch, step=8)
    lengths = [LENGTHS[row] for row in rows]
    assert lengths[:8] == first_step
    assert sorted(lengths[8:]) == [2, 3, 4, 5, 6, 7, 8, 9]  # the second step has the rows that it had
    assert len(rows) == 16


def test_every_epoch_is_shuffled_anew_by_the_order_below() -> None:
    order = Order(list(range(16)))
    ByLength(order, LENGTHS, ranks=1, micro_batch=8, step=8).set_epoch(3)
    assert order.epoch == 3
