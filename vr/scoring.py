"""What a model gives a text: exact log-probs of a row's own token ids, at temperature 1.

log p(ids[t] | ids[:t]) is the target's logit less the log-sum-exp of the logits, taken from the hidden state at
t - 1. Only the hidden states before span tokens are projected, a tile of positions by vocabulary at a time: neither
the logits of a whole sequence nor their exponentials ever stand in memory. Trace and answer of a row come out of one
forward pass. Rows run in batches of similar length; the batching changes nothing but the last digits.
One process, or several that share the batches (vr/scoring_ranks.py), with the same results to the last digit.

Dimensions: B rows of a batch, T tokens of its longest row, N span tokens of a batch, D hidden size, V vocabulary;
n and v are those of one tile.

Not covered: more than one machine, models that rescale their logits (an error), and models that are not causal.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from vr import shards
from vr.machine import Machine, gpus
from vr.tokens import Row, require_model

logger = logging.getLogger(__name__)

TILES = {"cpu": (256, 512), "cuda": (512, 2**18)}
"""Positions and vocabulary of the logits that stand in memory at one time, float32: 0.5 MiB on a CPU, so that they
stay in a core's cache; on a GPU up to 512 MiB, all of the vocabulary."""
RESCALED = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Entries of a model's config (Gemma 2, Granite, Cohere) that change logits after the output projection."""


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


Scorer = Callable[[Sequence[Row], bool], list[Score]]
"""Rows, and whether to keep the log-prob of every trace token, to the rows' scores, in their order."""
BatchScorer = Callable[[Sequence[Sequence[Row]], bool], list[list[Score]]]
"""The same for batches of rows that all fit the model."""


@contextmanager
def scorer(model: str | Path, machine: Machine) -> Iterator[Scorer]:
    """The function that scores blocks of rows under a model; it can be called any number of times.

    The model is loaded at the first block that has rows, in this process or in ranks, and kept to the end.
    float32 on a CPU; on a GPU the weights' own precision, with float32 log-sum-exp. Sums are float64.
    Batches are formed within a block, so the scores depend on neither other blocks nor the number of ranks.

    Args:
        model: a model directory.

    Raises:
        FileNotFoundError: no such model.
        ValueError: from the function: a span is not inside its row or begins at its first token; a model that
            rescales its logits; more ranks than GPUs.
        RuntimeError: from the function: a rank failed or died.
    """
    require_model(model)
    with ExitStack() as stack:
        opened: list[tuple[int, BatchScorer]] = []

        def score(rows: Sequence[Row], token_logps: bool) -> list[Score]:
            for number, row in enumerate(rows):
                _check(number, row)
            if not rows:
                return []
            if not opened:
                opened.append((_longest_row(model), stack.enter_context(_open(model, machine))))
            limit, score_batches = opened[0]
            scores = [_unscored(row) for row in rows]
            fitting = {n: _length(row) for n, row in enumerate(rows) if len(row.ids) <= limit}
            if len(fitting) < len(rows):
                logger.warning(
                    "%d of %d rows are longer than %d tokens: not scored", len(rows) - len(fitting), len(rows), limit
                )
            made = list(batches(fitting, token_budget(machine)))
            results = score_batches([[rows[n] for n in numbers] for numbers in made], token_logps)
            for numbers, batch_scores in zip(made, results, strict=True):
                for n, result in zip(numbers, batch_scores, strict=True):
                    scores[n] = result
            return scores

        yield score


def _longest_row(model: str | Path) -> int:
    """Tokens that the model's positions go up to."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    for name in RESCALED:
        if getattr(config, name, None) is not None:
            raise ValueError(f"{model}: {name} = {getattr(config, name)} in config.json: not supported")
    return config.max_position_embeddings


def _open(model: str | Path, machine: Machine) -> AbstractContextManager[BatchScorer]:
    ranks = machine.score_ranks or gpus() or 1
    if 0 < gpus() < ranks:
        raise ValueError(f"score_ranks = {ranks}: this machine has {gpus()} GPUs")
    if ranks == 1 and not machine.score_zero3:
        loaded = load(model, "cuda" if gpus() else "cpu", machine.threads)
        return nullcontext(lambda made, token_logps: [score_batch(*loaded, rows, token_logps) for rows in made])
    from vr import scoring_ranks

    return scoring_ranks.start(model, ranks, zero3=machine.score_zero3, threads=machine.threads)


def token_budget(machine: Machine) -> int:
    """Tokens in one batch; more of them do not stay in a CPU's cache, fewer leave a GPU idle."""
    return machine.score_tokens or (16384 if gpus() else 2048)


def batches(lengths: dict[int, int], budget: int) -> Iterator[list[int]]:
    """Row numbers in batches, longest first; rows times longest row stays within the budget.

    A row longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for n in sorted(lengths, key=lambda n: (-lengths[n], n)):
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        longest = longest if batch else lengths[n]
        batch.append(n)
    if batch:
        yield batch


def _spans(row: Row) -> list[tuple[int, int]]:
    return [row.trace] if row.answer is None else [row.trace, row.answer]


def _length(row: Row) -> int:
    """Tokens that the model has to read: nothing from the last span token on."""
    return max(1, *(end - 1 for _, end in _spans(row)))


def cost(rows: Sequence[Row]) -> int:
    """Tokens that a batch takes, padding included."""
    return len(rows) * max(map(_length, rows))


def _check(number: int, row: Row) -> None:
    for begin, end in _spans(row):
        if not (0 <= begin <= end <= len(row.ids)) or begin == 0 < end:
            raise ValueError(
                f"row {number}: span {begin, end} in {len(row.ids)} tokens (the first token has no log-prob)"
            )


def _unscored(row: Row) -> Score:
    return Score(None, row.trace[1] - row.trace[0], None, None, None)


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


def score_batch(base: Any, head: Any, rows: Sequence[Row], token_logps: bool) -> list[Score]:
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


def arrays(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids (B, T) with zeros after each row's, and of the N span tokens the place of the hidden state that each
    follows from, in the flattened batch, and the id."""
    longest = max(map(_length, rows))
    ids_BT = np.zeros((len(rows), longest), np.int64)
    places: list[np.ndarray] = []
    targets: list[int] = []
    for b, row in enumerate(rows):
        read = row.ids[: _length(row)]
        ids_BT[b, : len(read)] = read
        for begin, end in _spans(row):
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


def _by_row(rows: Sequence[Row], logps_N: np.ndarray, token_logps: bool) -> list[Score]:
    ends = np.cumsum([end - begin for row in rows for begin, end in _spans(row)])
    spans = iter(np.split(logps_N, ends[:-1]))
    scores = []
    for row in rows:
        trace = next(spans)
        answer = None if row.answer is None else next(spans)
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


def score_traces(
    score: Scorer,
    traces: pl.DataFrame,
    rows_of: Callable[[pl.DataFrame], list[Row]],
    numbers: list[int],
    block_rows: int,
    token_logps: bool,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(n, row of tables.Logps) for the traces with these numbers, in order, a block of `block_rows` at a time.

    Blocks are cut from all of `traces`, so a row's batch, and with it the last digits, do not depend on `numbers`.

    Args:
        traces: problem_id, seed and what `rows_of` needs.
        rows_of: a block of traces to rows of tokens.
    """
    wanted = set(numbers)
    with tqdm(total=len(numbers), desc="scoring", unit="trace") as bar:
        for block in shards.blocks(numbers, block_rows, traces.height):
            keys = traces[block].select("problem_id", "seed").iter_rows(named=True)
            for n, key, result in zip(block, keys, score(rows_of(traces[block]), token_logps), strict=True):
                if n in wanted:
                    bar.update()
                    yield n, key | asdict(result)


def sampled_logps(traces: pl.DataFrame, token_logps: bool) -> pl.DataFrame:
    """tables.Logps out of the log-probs that the sampler gave its own tokens.

    Args:
        traces: problem_id, seed, trace_ids, trace_logps.

    Raises:
        ValueError: a trace without them, or with another number of them than of tokens; names it.
    """
    logps = pl.col("trace_logps")
    bad = traces.filter((logps.list.len() != pl.col("trace_ids").list.len()) | logps.is_null())
    if bad.height:
        first = bad.select("problem_id", "seed").row(0, named=True)
        raise ValueError(f"traces: {bad.height} without the log-prob of every token, the first: {first}")
    return traces.select(
        "problem_id",
        "seed",
        trace_logp_sum=logps.cast(pl.List(pl.Float64)).list.sum(),
        trace_tokens=logps.list.len().cast(pl.Int32),
        answer_logp_sum=pl.lit(None, pl.Float64),
        answer_tokens=pl.lit(None, pl.Int32),
        trace_logps=logps if token_logps else pl.lit(None, pl.List(pl.Float32)),
    )


def differences(sampled: pl.Series, scores: Sequence[Score]) -> dict[str, float]:
    """How far the sampler's log-probs are from the scorer's, over all tokens of some traces, in nats."""
    pairs = [
        abs(a - b)
        for ours, score in zip(sampled, scores, strict=True)
        if score.trace_logps is not None
        for a, b in zip(ours, score.trace_logps, strict=True)
    ]
    return {
        "compared_traces": len(scores),
        "compared_tokens": len(pairs),
        "mean_abs_difference_nats": sum(pairs) / max(1, len(pairs)),
        "max_abs_difference_nats": max(pairs, default=0.0),
    }
