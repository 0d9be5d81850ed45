"""What a model gives a text: the log-probs of traces and answers, block after block of rows.

Rows of a block run in batches of similar length (vr/logps.py), in this process or in several that share the batches
(vr/scoring_ranks.py), with the same results to the last digit; another batching changes nothing but the last digits.

Not covered: more than one machine, models that rescale their logits (an error), and models that are not causal.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from vr.engines.scoring import forward
from vr.engines.scoring.forward import BatchScorer, Score
from vr.execution import resume
from vr.renderers.renderer import Example, require_model
from vr.settings.machine import Machine, gpus

logger = logging.getLogger(__name__)

RESCALED = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Entries of a model's config (Gemma 2, Granite, Cohere) that change logits after the output projection."""
Scorer = Callable[[Sequence[Example], bool], list[Score]]
"""Rows, and whether to keep the log-prob of every trace token, to the rows' scores, in their order."""


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

        def score(rows: Sequence[Example], token_logps: bool) -> list[Score]:
            for number, row in enumerate(rows):
                _check(number, row)
            if not rows:
                return []
            if not opened:
                opened.append((_longest_row(model), stack.enter_context(_open(model, machine))))
            limit, score_batches = opened[0]
            scores = [_unscored(row) for row in rows]
            fitting = {n: forward.length(row) for n, row in enumerate(rows) if len(row.ids) <= limit}
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
        loaded = forward.load(model, "cuda" if gpus() else "cpu", machine.threads)
        return nullcontext(lambda made, token_logps: [forward.score_batch(*loaded, rows, token_logps) for rows in made])
    return ranks.start(model, ranks, zero3=machine.score_zero3, threads=machine.threads)


def token_budget(machine: Machine) -> int:
    """Tokens in one batch; more of them do not stay in a CPU's cache, fewer leave a GPU idle."""
    return machine.score_tokens or (16384 if gpus() else 2048)


def batches(lengths: dict[int, int], budget: int) -> Iterator[list[int]]:
    """Example numbers in batches, longest first; rows times longest row stays within the budget.

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


def _check(number: int, row: Example) -> None:
    for begin, end in forward.spans(row):
        if not (0 <= begin <= end <= len(row.ids)) or begin == 0 < end:
            raise ValueError(
                f"row {number}: span {begin, end} in {len(row.ids)} tokens (the first token has no log-prob)"
            )


def _unscored(row: Example) -> Score:
    return Score(None, row.trace[1] - row.trace[0], None, None, None)


def score_traces(
    score: Scorer,
    traces: pl.DataFrame,
    rows_of: Callable[[pl.DataFrame], list[Example]],
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
        for block in resume.blocks(numbers, block_rows, traces.height):
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
    per_token = pl.col("trace_logps")
    bad = traces.filter((per_token.list.len() != pl.col("trace_ids").list.len()) | per_token.is_null())
    if bad.height:
        first = bad.select("problem_id", "seed").row(0, named=True)
        raise ValueError(f"traces: {bad.height} without the log-prob of every token, the first: {first}")
    return traces.select(
        "problem_id",
        "seed",
        trace_logp_sum=per_token.cast(pl.List(pl.Float64)).list.sum(),
        trace_tokens=per_token.list.len().cast(pl.Int32),
        answer_logp_sum=pl.lit(None, pl.Float64),
        answer_tokens=pl.lit(None, pl.Int32),
        trace_logps=per_token if token_logps else pl.lit(None, pl.List(pl.Float32)),
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
