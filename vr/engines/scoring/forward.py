"""One forward pass: exact log-probs of a batch of rows' own token ids, at temperature 1.

log p(ids[t] | ids[:t]) is the target's logit less the log-sum-exp of the logits, taken from the hidden state at
t - 1. Only the hidden states before span tokens are projected, a tile of positions by vocabulary at a time: neither
the logits of a whole sequence nor their exponentials ever stand in memory. Trace and answer of a row come out of one
forward pass. Which rows are a batch, and who scores it, is not decided here (vr/scoring.py).

Dimensions: B rows of a batch, T tokens of its longest row, N span tokens of a batch, D hidden size, V vocabulary;
n and v are those of one tile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vr.renderers.renderer import Example

TILES = {"cpu": (256, 512), "cuda": (512, 2**18)}
"""Positions and vocabulary of the logits that stand in memory at one time, float32: 0.5 MiB on a CPU, so that they
stay in a core's cache; on a GPU up to 512 MiB, all of the vocabulary."""


@dataclass(frozen=True)
class Score:
    """What a model gives one row; sums in nats. An empty span has sum 0.0 and 0 tokens."""

    trace_logp_sum: float | None
    """log p of the trace with its end marker; None: the row is longer than the model"""
    trace_tokens: int
    """tokens of the trace span, scored or not"""
    answer_logp_sum: float | None
    """log p of the answer with its end marker; None: no answer span, or the row is longer than the model"""
    answer_tokens: int | None
    """tokens in that sum; None where there is none"""
    trace_logps: list[float] | None
    """log p of each trace token; None: not asked for, or the row is longer than the model"""


BatchScorer = Callable[[Sequence[Sequence[Example]], bool], list[list[Score]]]
"""Batches of rows that all fit the model, and whether to keep the log-prob of every trace token, to their scores."""


def spans(row: Example) -> list[tuple[int, int]]:
    return [row.trace] if row.answer is None else [row.trace, row.answer]


def length(row: Example) -> int:
    """Tokens that the model has to read: nothing from the last span token on."""
    return max(1, *(end - 1 for _, end in spans(row)))


def cost(rows: Sequence[Example]) -> int:
    """Tokens that a batch takes, padding included."""
    return len(rows) * max(map(length, rows))


def load(model: str | Path, device: str, threads: int) -> tuple[Any, Any]:
    """The model without its output projection, and that projection, on a torch device.

    Args:
        threads: compute threads of this process, on a CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if device == "cpu" and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    dtype = torch.float32 if device == "cpu" else "auto"
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, trust_remote_code=False).eval().to(device)
    return loaded.base_model, loaded.get_output_embeddings()


def score_batch(base: Any, head: Any, rows: Sequence[Example], token_logps: bool) -> list[Score]:
    """One forward pass for the scores of all rows, in their order.

    No attention mask: padding stands after a row's tokens, where a causal model does not look, and without a mask
    attention takes its fast causal way.

    Args:
        base: the model without its output projection, from ids to last_hidden_state.
        head: the output projection.
    """
    import torch

    ids_BT, places_N, targets_N = (torch.from_numpy(array).to(base.device) for array in arrays(rows))
    with torch.inference_mode():
        hidden_BTD = base(input_ids=ids_BT, use_cache=False).last_hidden_state
        with _whole(head) as (weight_VD, bias_V):
            logps_N = _logps(weight_VD, bias_V, hidden_BTD.flatten(0, 1)[places_N], targets_N)
    return _by_row(rows, logps_N.cpu().numpy(), token_logps)


def arrays(rows: Sequence[Example]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids (B, T) with zeros after each row's, and of the N span tokens the place of the hidden state that each
    follows from, in the flattened batch, and the id."""
    longest = max(map(length, rows))
    ids_BT = np.zeros((len(rows), longest), np.int64)
    places: list[np.ndarray] = []
    targets: list[int] = []
    for b, row in enumerate(rows):
        read = row.ids[: length(row)]
        ids_BT[b, : len(read)] = read
        for begin, end in spans(row):
            places.append(np.arange(b * longest + begin - 1, b * longest + end - 1))
            targets += row.ids[begin:end]
    return ids_BT, np.concatenate(places), np.array(targets, np.int64)


@contextmanager
def _whole(head: Any) -> Iterator[tuple[Any, Any]]:
    """The head's weight (V, D) and bias (V) or None; put together from all ranks where ZeRO-3 has parted them."""
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

    The shift keeps it within float32. The target's own logit does so nearly always, and is known beforehand: the
    largest one would take another pass over every tile.
    """
    return sum(_logits(hidden_nD, tile).sub_(shift_n[:, None]).exp_().sum(1) for tile in tiles)


def _logits(hidden_nD: Any, tile: tuple[Any, Any]) -> Any:
    from torch.nn import functional

    return functional.linear(hidden_nD, *tile).float()


def _by_row(rows: Sequence[Example], logps_N: np.ndarray, token_logps: bool) -> list[Score]:
    ends = np.cumsum([end - begin for row in rows for begin, end in spans(row)])
    parts = iter(np.split(logps_N, ends[:-1]))
    scores = []
    for row in rows:
        trace = next(parts)
        answer = None if row.answer is None else next(parts)
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
