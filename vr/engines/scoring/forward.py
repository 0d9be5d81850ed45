"""One forward pass: exact log-probs of the token ids of a batch of examples, at temperature 1.

log p(ids[t] | ids[:t]) is the target's logit less the log-sum-exp of the logits, computed from the hidden state at
t - 1. Only the hidden states before span tokens are projected, a tile of positions by vocabulary at a time: neither
the logits of a whole sequence nor their exponentials are ever in memory. One forward pass gives both trace and answer
of an example. Which examples are a batch, and which process scores it, is not decided here
(vr/engines/scoring/scorer.py, ranks.py).

Dimensions: B examples of a batch, T tokens of its longest one, N span tokens of a batch, D hidden size, V vocabulary;
n and v are those of one tile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vr.renderers.example import Example
from vr.renderers.model_directory import load_model

TILES = {"cpu": (256, 512), "cuda": (512, 2**18)}
"""Positions by vocabulary of the float32 logits in memory at one time: 0.5 MiB on a CPU, so that they stay in a core's
cache; up to 512 MiB on a GPU, where a tile has the whole vocabulary."""


@dataclass(frozen=True)
class Score:
    """Log-probs of one example under a model, in nats. An empty span has sum 0.0 and 0 tokens."""

    trace_logp_sum: float | None
    """log p of the trace with its end marker; None: the example is longer than the model"""
    trace_tokens: int
    """tokens of the trace span, scored or not"""
    answer_logp_sum: float | None
    """log p of the answer with its end marker; None: no answer span, or the example is longer than the model"""
    answer_tokens: int | None
    """tokens in that sum; None if there is none"""
    trace_logps: list[float] | None
    """log p of each trace token; None: not asked for, or the example is longer than the model"""


BatchScorer = Callable[[Sequence[Sequence[Example]], bool], list[list[Score]]]
"""Takes batches of examples that all fit the model, and whether to keep the log-prob of every trace token; gives their
scores in the same order."""


def spans(example: Example) -> list[tuple[int, int]]:
    """The spans whose log-probs are computed: the trace, and the answer if there is one."""
    return [example.trace] if example.answer is None else [example.trace, example.answer]


def length(example: Example) -> int:
    """Tokens that the model has to read: those before the last span token."""
    return max(1, *(end - 1 for _, end in spans(example)))


def cost(batch: Sequence[Example]) -> int:
    """Tokens that a batch takes, padding included."""
    return len(batch) * max(map(length, batch))


def load(model: str | Path, precision: str, device: str, threads: int) -> tuple[Any, Any]:
    """The model without its output projection, and that projection, on a torch device.

    Args:
        precision: float32 | bfloat16, of the weights and of the computation up to the logits.
        threads: compute threads of this process, on a CPU.

    Raises:
        ValueError: as `load_model`.
    """
    import torch

    if device == "cpu" and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    loaded = load_model(model, dtype=getattr(torch, precision)).eval().to(device)
    return loaded.base_model, loaded.get_output_embeddings()


def batch_scorer(base: Any, head: Any) -> BatchScorer:
    """The function that scores batches in this process, with what `load` gives."""
    return lambda batches, token_logps: [score_batch(base, head, batch, token_logps) for batch in batches]


def score_batch(base: Any, head: Any, batch: Sequence[Example], token_logps: bool) -> list[Score]:
    """The scores of a batch from one forward pass, in its order.

    There is no attention mask: padding follows an example's tokens, where a causal model does not look, and attention
    without a mask takes its fast causal path.

    Args:
        base: the model without its output projection, from ids to last_hidden_state.
        head: the output projection.
    """
    import torch

    ids_BT, places_N, targets_N = (torch.from_numpy(array).to(base.device) for array in arrays(batch))
    with torch.inference_mode():
        hidden_BTD = base(input_ids=ids_BT, use_cache=False).last_hidden_state
        with _gathered(head) as (weight_VD, bias_V):
            logps_N = _logps(weight_VD, bias_V, hidden_BTD.flatten(0, 1)[places_N], targets_N)
    return _by_example(batch, logps_N.cpu().numpy(), token_logps)


def arrays(batch: Sequence[Example]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays that a forward pass takes.

    Returns:
        ids (B, T), padded with zeros at the end; for each of the N span tokens, the position of the hidden state before
        it in the flattened batch (B * T), and its id.
    """
    longest = max(map(length, batch))
    ids_BT = np.zeros((len(batch), longest), np.int64)
    places: list[np.ndarray] = []
    targets: list[int] = []
    for b, example in enumerate(batch):
        read = example.ids[: length(example)]
        ids_BT[b, : len(read)] = read
        for begin, end in spans(example):
            places.append(np.arange(b * longest + begin - 1, b * longest + end - 1))
            targets += example.ids[begin:end]
    return ids_BT, np.concatenate(places), np.array(targets, np.int64)


@contextmanager
def _gathered(head: Any) -> Iterator[tuple[Any, Any]]:
    """The head's weight (V, D) and bias (V) or None, gathered from all ranks if ZeRO-3 has partitioned them."""
    with ExitStack() as stack:
        if hasattr(head.weight, "ds_id"):
            import deepspeed

            stack.enter_context(deepspeed.zero.GatheredParameters(list(head.parameters())))
        yield head.weight, head.bias


def _logps(weight_VD: Any, bias_V: Any, hidden_ND: Any, targets_N: Any) -> Any:
    """Log-prob of each target under the head's distribution at its hidden state, N, float32."""
    import torch

    positions, vocabulary = TILES[hidden_ND.device.type]
    weights = weight_VD.split(vocabulary)
    biases = [None] * len(weights) if bias_V is None else bias_V.split(vocabulary)
    tiles = list(zip(weights, biases, strict=True))
    logps = []
    for hidden_nD, targets_n in zip(hidden_ND.split(positions), targets_N.split(positions), strict=True):
        target_n = torch.bmm(hidden_nD[:, None, :], weight_VD[targets_n][:, :, None])[:, 0, 0]
        target_n = (target_n if bias_V is None else target_n + bias_V[targets_n]).float()
        shift_n, sum_n = target_n, _sums(hidden_nD, tiles, target_n)
        if sum_n.isinf().any():  # a target more than 88 nats below the likeliest token
            shift_n = torch.stack([_logits(hidden_nD, tile).amax(1) for tile in tiles]).amax(0)
            sum_n = _sums(hidden_nD, tiles, shift_n)
        logps.append((target_n - shift_n - sum_n.log()).clamp_(max=0))  # rounding could put it above 0
    return torch.cat(logps)


def _sums(hidden_nD: Any, tiles: Sequence[tuple[Any, Any]], shift_n: Any) -> Any:
    """Sum of exp(logit - shift) over the vocabulary, n.

    The shift keeps the sum within the range of float32. The target's own logit nearly always suffices and is known
    beforehand, whereas finding the largest logit takes another pass over every tile.
    """
    return sum(_logits(hidden_nD, tile).sub_(shift_n[:, None]).exp_().sum(1) for tile in tiles)


def _logits(hidden_nD: Any, tile: tuple[Any, Any]) -> Any:
    from torch.nn import functional

    return functional.linear(hidden_nD, *tile).float()


def _by_example(batch: Sequence[Example], logps_N: np.ndarray, token_logps: bool) -> list[Score]:
    ends = np.cumsum([end - begin for example in batch for begin, end in spans(example)])
    parts = iter(np.split(logps_N, ends[:-1]))
    scores = []
    for example in batch:
        trace = next(parts)
        answer = None if example.answer is None else next(parts)
        scores.append(
            Score(
                trace_logp_sum=float(trace.sum(dtype=np.float64)),
                trace_tokens=len(trace),
                answer_logp_sum=None if answer is None else float(answer.sum(dtype=np.float64)),
                answer_tokens=None if answer is None else len(answer),
                trace_logps=trace.tolist() if token_logps else None,
            )
        )
    return scores
