"""The loss of one micro-batch and the weights that reach it, worked out by hand."""

import math
from typing import Any

import pytest


def test_loss_is_the_weighted_sum_of_row_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from vr.engines.training import worker as worker

    logits = torch.zeros(2, 4, 3)
    logits[0, 1] = torch.tensor([0.0, math.log(2), 0.0])  # predicts position 2: probabilities 1/4, 1/2, 1/4
    labels = torch.tensor([[-100, -100, 1, 2], [-100, 0, 1, -100]])
    weights = torch.tensor([2.0, 0.5], dtype=torch.float64)
    # row 0: log 2 (label 1 at 1/2) + log 3 (label 2, uniform); row 1: 2 log 3.
    expected = 2 * (math.log(2) + math.log(3)) + 0.5 * 2 * math.log(3)
    assert worker.weighted_nll(logits, labels, weights).item() == pytest.approx(expected, rel=1e-6)
    assert worker.weighted_tokens(labels, weights).item() == 2 * 2 + 0.5 * 2

    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, dtype=torch.bfloat16, requires_grad=True)
    whole = worker.weighted_nll(logits, labels, weights)
    (whole_gradient,) = torch.autograd.grad(whole, logits)
    monkeypatch.setattr(worker, "CHUNK_ELEMENTS", 9)  # 3 tokens at once
    pieces = worker.weighted_nll(logits, labels, weights)
    (pieces_gradient,) = torch.autograd.grad(pieces, logits)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(pieces_gradient, whole_gradient)


def test_weights_pass_a_collator_that_rounds_floats_to_bf16() -> None:
    import torch

    from vr.engines.training import worker as worker

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        assert all("weight" not in feature for feature in features)
        return {"labels": torch.zeros(len(features))}

    batch = worker._WeightsAsBits(collate)([{"weight": 0.3}, {"weight": 1.0}])
    assert not torch.is_floating_point(batch["weight"])  # floats are rounded once more on their way to the device
    assert worker._weights(batch["weight"]).tolist() == [0.3, 1.0]
