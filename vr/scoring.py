"""What a model gives a text: exact log-probs of a row's own token ids, at temperature 1.

log p(ids[t] | ids[:t]) is the target's logit less the log-sum-exp of the logits, taken from the hidden state at
t - 1. Only the hidden states before span tokens are projected, some positions at a time: the logits of a whole
sequence never stand in memory. Trace and answer of a row come out of one forward pass.
Rows run in batches of similar length; the batching changes nothing but the last digits.

Dimensions: B rows of a batch, T tokens of its longest row, N span tokens of a batch, D hidden size, V vocabulary.

Not covered: more than one device, models that rescale their logits (an error), and models that are not causal.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from vr.machine import Machine, gpus
from vr.tokens import Row, require_model

logger = logging.getLogger(__name__)

LOGITS_AT_ONCE = 2**24
"""Logits that stand in memory at one time: 64 MiB in float32, and as much again for their exponentials."""
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


def score(model: str | Path, rows: Sequence[Row], *, machine: Machine, token_logps: bool = False) -> list[Score]:
    """The log-probs of every row's trace and answer under a model, in the order of the rows.

    float32 on a CPU; on a GPU the weights' own precision, with float32 log-sum-exp. Sums are float64.

    Args:
        model: a model directory.
        token_logps: also hand back the log-prob of every trace token.

    Raises:
        FileNotFoundError: no such model.
        ValueError: a span is not inside its row or begins at its first token; a model that rescales its logits.
    """
    for number, row in enumerate(rows):
        _check(number, row)
    require_model(model)
    if not rows:
        return []
    scorer = _load(model, machine)
    limit = scorer.config.max_position_embeddings
    scores = [_unscored(row) for row in rows]
    fitting = [n for n, row in enumerate(rows) if len(row.ids) <= limit]
    if len(fitting) < len(rows):
        logger.warning(
            "%d of %d rows are longer than %d tokens: not scored", len(rows) - len(fitting), len(rows), limit
        )
    with tqdm(total=sum(_length(rows[n]) for n in fitting), desc="scoring", unit="token", unit_scale=True) as bar:
        for numbers in batches({n: _length(rows[n]) for n in fitting}, machine.score_tokens):
            chosen = [rows[n] for n in numbers]
            for n, result in zip(numbers, _score_batch(scorer, chosen, token_logps), strict=True):
                scores[n] = result
            bar.update(sum(map(_length, chosen)))
    return scores


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


def _check(number: int, row: Row) -> None:
    for begin, end in _spans(row):
        if not (0 <= begin <= end <= len(row.ids)) or begin == 0 < end:
            raise ValueError(
                f"row {number}: span {begin, end} in {len(row.ids)} tokens (the first token has no log-prob)"
            )


def _unscored(row: Row) -> Score:
    return Score(None, row.trace[1] - row.trace[0], None, None, None)


def _load(model: str | Path, machine: Machine) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    on_gpu = gpus() > 0
    if not on_gpu and torch.get_num_threads() != machine.threads:
        torch.set_num_threads(machine.threads)
    loaded = AutoModelForCausalLM.from_pretrained(
        model, dtype="auto" if on_gpu else torch.float32, trust_remote_code=False
    )
    for name in RESCALED:
        if getattr(loaded.config, name, None) is not None:
            raise ValueError(f"{model}: {name} = {getattr(loaded.config, name)} in config.json: not supported")
    return loaded.eval().to("cuda" if on_gpu else "cpu")


def _score_batch(scorer: Any, rows: Sequence[Row], token_logps: bool) -> list[Score]:
    import torch

    longest = max(map(_length, rows))
    ids_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    places: list[int] = []  # of the N hidden states, in the flattened batch
    targets: list[int] = []
    for b, row in enumerate(rows):
        read = row.ids[: _length(row)]
        ids_BT[b, : len(read)] = torch.tensor(read)
        mask_BT[b, : len(read)] = 1
        for begin, end in _spans(row):
            places += range(b * longest + begin - 1, b * longest + end - 1)
            targets += row.ids[begin:end]
    with torch.inference_mode():
        hidden_BTD = scorer.base_model(
            input_ids=ids_BT.to(scorer.device), attention_mask=mask_BT.to(scorer.device), use_cache=False
        ).last_hidden_state
        hidden_ND = hidden_BTD.flatten(0, 1)[torch.tensor(places, dtype=torch.long, device=scorer.device)]
        targets_N = torch.tensor(targets, dtype=torch.long, device=scorer.device)
        logps_N = _logps(scorer.get_output_embeddings(), hidden_ND, targets_N).cpu()
    return _by_row(rows, logps_N, token_logps)


def _logps(head: Any, hidden_ND: Any, targets_N: Any) -> Any:
    """Log-prob of each target under the head's distribution at its hidden state, a chunk of the N at a time."""
    import torch

    chunk = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
    logps = []
    for hidden_nD, targets_n in zip(hidden_ND.split(chunk), targets_N.split(chunk), strict=True):
        logits_nV = head(hidden_nD).float()
        logps.append(logits_nV.gather(1, targets_n[:, None])[:, 0] - torch.logsumexp(logits_nV, dim=1))
    return torch.cat(logps)


def _by_row(rows: Sequence[Row], logps_N: Any, token_logps: bool) -> list[Score]:
    scores = []
    done = 0
    for row in rows:
        sums = []
        trace_logps = None
        for begin, end in _spans(row):
            logps_S = logps_N[done : done + end - begin]
            done += end - begin
            sums.append(float(logps_S.double().sum()))
            if token_logps and trace_logps is None:  # the trace is the first span
                trace_logps = logps_S.tolist()
        trace_tokens = row.trace[1] - row.trace[0]
        if row.answer is None:
            scores.append(Score(sums[0], trace_tokens, None, None, trace_logps))
        else:
            scores.append(Score(sums[0], trace_tokens, sums[1], row.answer[1] - row.answer[0], trace_logps))
    return scores


def table(traces: pl.DataFrame, scores: Sequence[Score]) -> pl.DataFrame:
    """tables.Logps: the keys of `traces`, row for row with their scores."""
    fields = ("trace_logp_sum", "trace_tokens", "answer_logp_sum", "answer_tokens", "trace_logps")
    types: tuple[Any, ...] = (pl.Float64, pl.Int32, pl.Float64, pl.Int32, pl.List(pl.Float32))
    return traces.select("problem_id", "seed").with_columns(
        pl.Series(field, [getattr(score, field) for score in scores], dtype)
        for field, dtype in zip(fields, types, strict=True)
    )
