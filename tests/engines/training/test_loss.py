"""The loss of one micro-batch, worked out by hand, and the logits that it needs."""

import math

import pytest
import torch

from vr.engines.training import loss
from vr.engines.training.loss import IGNORED

LABELS = torch.tensor([[IGNORED, IGNORED, 1, 2], [IGNORED, 0, 1, IGNORED]])
WEIGHTS = torch.tensor([2.0, 0.5], dtype=torch.float64)


def of_batch(logits_BTV: torch.Tensor) -> torch.Tensor:
    """The loss as the worker puts it together."""
    targets = loss.next_tokens(LABELS)
    chosen = targets.ne(IGNORED)
    return loss.weighted_nll(logits_BTV[chosen], targets[chosen], WEIGHTS[:, None].expand(2, 4)[chosen])


def test_logits_predict_the_next_token() -> None:
    assert loss.next_tokens(LABELS).tolist() == [[IGNORED, 1, 2, IGNORED], [0, 1, IGNORED, IGNORED]]


def test_loss_is_the_weighted_sum_of_row_losses() -> None:
    logits = torch.zeros(2, 4, 3)
    logits[0, 1] = torch.tensor([0.0, math.log(2), 0.0])  # predicts position 2: probabilities 1/4, 1/2, 1/4
    # row 0: log 2 (label 1 at 1/2) + log 3 (label 2, uniform); row 1: 2 log 3.
    expected = 2 * (math.log(2) + math.log(3)) + 0.5 * 2 * math.log(3)
    assert of_batch(logits).item() == pytest.approx(expected, rel=1e-6)
    assert loss.weighted_tokens(LABELS, WEIGHTS).item() == 2 * 2 + 0.5 * 2


def test_loss_in_chunks_is_the_loss_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, dtype=torch.bfloat16, requires_grad=True)
    whole = of_batch(logits)
    (whole_gradient,) = torch.autograd.grad(whole, logits)
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 9)  # 3 tokens at once
    chunked = of_batch(logits)
    (chunked_gradient,) = torch.autograd.grad(chunked, logits)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(chunked_gradient, whole_gradient)


def test_no_token_to_train_on_is_a_loss_of_zero_with_a_gradient() -> None:
    logits = torch.randn(0, 3, requires_grad=True)
    total = loss.weighted_nll(logits, torch.zeros(0, dtype=torch.long), torch.zeros(0))
    total.backward()
    assert total.item() == 0 and logits.grad is not None


def test_logits_are_computed_for_the_chosen_tokens_alone_and_only_for_as_long() -> None:
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(5, 3), torch.randn(2, 4, 5)
    chosen = loss.next_tokens(LABELS).ne(IGNORED)
    whole = head(hidden)
    with loss.logits_at(head, chosen):
        logits = head(hidden)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits, whole[chosen])
    assert head(hidden).shape == (2, 4, 3)
