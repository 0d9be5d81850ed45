"""The loss of the method (arXiv 2509.22637, App. C): the weighted sum of the rows' negative log-likelihoods.

B rows, T tokens, H hidden size, V vocabulary, N the tokens of a micro-batch that are trained on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""Label of a token that is given, not trained on: the value that torch's and LLaMA-Factory's losses leave out."""
CHUNK_ELEMENTS = 1 << 26
"""Logits that are held in fp32 at once: 256 MiB, against 20 GB for 32,768 tokens of Qwen's 151,936."""


def next_tokens(labels_BT: torch.Tensor) -> torch.Tensor:
    """(B, T): what the logits at t should predict, the label at t + 1; `IGNORED` where nothing is trained on."""
    return functional.pad(labels_BT[:, 1:], (0, 1), value=IGNORED)


def weighted_tokens(labels_BT: torch.Tensor, weights_B: torch.Tensor) -> torch.Tensor:
    """sum_i w_i tokens_i, float64: what `weighted_nll` sums over."""
    return (labels_BT[:, 1:].ne(IGNORED).sum(dim=1) * weights_B.double()).sum()


def weighted_nll(logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor) -> torch.Tensor:
    """sum_n w_n nll_n, nats, fp32.

    The log-softmax is taken in fp32, in chunks of tokens; if there is more than one, they are recomputed in the
    backward pass, so that no more than `CHUNK_ELEMENTS` logits are held in fp32.
    """
    chunk = max(1, CHUNK_ELEMENTS // logits_NV.shape[1])
    chunks = list(zip(*(tensor.split(chunk) for tensor in (logits_NV, targets_N, weights_N)), strict=True))
    if len(chunks) == 1:
        return _weighted_nll(*chunks[0])
    return torch.stack([checkpoint(_weighted_nll, *piece, use_reentrant=False) for piece in chunks]).sum()


def _weighted_nll(logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor) -> torch.Tensor:
    nll_N = functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")
    return (nll_N * weights_N.float()).sum()


@contextmanager
def logits_at(head: Any, chosen_BT: torch.Tensor) -> Iterator[None]:
    """Let a model's output layer compute logits for the chosen tokens alone: (N, V) instead of (B, T, V).

    Prompts and padding need no logits, and the output layer is what most memory goes to.

    Args:
        head: the module that turns (B, T, H) into logits.
        chosen_BT: bool.
    """
    handle = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][chosen_BT],))
    try:
        yield
    finally:
        handle.remove()
