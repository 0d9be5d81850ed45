"""Log-probs of traces and answers under a model, one block of examples after another.

The examples of a block run in batches of similar length (vr/engines/scoring/forward.py), in this process or in several
that share the batches (vr/engines/scoring/ranks.py). The results are the same to the last digit in both cases. Other
batches (another `token_budget`) round otherwise: in float32 they moved the log-probs of the miniature's 35,323 trace
tokens by up to 5e-6 nats.

Not covered: more than one machine, models that rescale their logits (an error), and models that are not causal.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
from tqdm import tqdm

from vr.engines.scoring import forward, ranks
from vr.engines.scoring.forward import BatchScorer, Score
from vr.execution import resume
from vr.renderers.example import Example
from vr.renderers.model_directory import load_config, positions, require_model, unknown_id, vocabulary, weight_bytes
from vr.settings.machine import Machine, gpus
from vr.tables.schemas import Traces
from vr.tables.vocabulary import TRACE_KEY

logger = logging.getLogger(__name__)

RESCALED = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Entries of a model's config (Gemma 2, Granite, Cohere) that change logits after the output projection."""
BLOCK_ROWS = 256
"""Traces scored together. A constant: which of them are a batch must not depend on how often work is saved."""
Scorer = Callable[[Sequence[Example], bool], list[Score]]
"""Takes examples, and whether to keep the log-prob of every trace token; gives their scores in the same order."""


class ExampleError(ValueError):
    """An example that the model cannot score; `index` is its place among those given."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"example {index}: {why}")
        self.index, self.why = index, why


@contextmanager
def scorer(model: str | Path, precision: str, machine: Machine) -> Iterator[Scorer]:
    """The function that scores blocks of examples under a model; it can be called any number of times.

    The model is loaded for the first block that has examples, in this process or in ranks, and kept until the end.
    The log-sum-exp is float32 whatever the precision, and sums are float64. Batches are formed within a block, so the
    scores depend neither on other blocks nor on the number of ranks.

    Args:
        model: a model directory.
        precision: float32 | bfloat16, of the computation up to the logits.

    Raises:
        FileNotFoundError, ValueError: no such model, or it is not whole.
        ExampleError: from the function: a span reaches out of its example or begins at its first token, the model does
            not know a token id, or it computes NaN.
        ValueError: from the function: the model rescales its logits; there are more ranks than GPUs.
        RuntimeError: from the function: a rank failed or died.
    """
    require_model(model)
    with ExitStack() as stack:
        yield _BlockScorer(model, precision, machine, stack)


class _BlockScorer:
    """What `scorer` gives: it loads the model for the first block that has examples, and `stack` unloads it."""

    def __init__(self, model: str | Path, precision: str, machine: Machine, stack: ExitStack) -> None:
        self.model, self.precision, self.machine, self.stack = model, precision, machine, stack

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest example that fits the model."""
        return _positions(self.model)

    @cached_property
    def vocabulary(self) -> int:
        """Token ids that the model knows."""
        return vocabulary(self.model)

    @cached_property
    def score_batches(self) -> BatchScorer:
        return self.stack.enter_context(_load(self.model, self.precision, self.machine))

    def __call__(self, examples: Sequence[Example], token_logps: bool) -> list[Score]:
        for index, example in enumerate(examples):
            self._check(index, example)
        if not examples:
            return []
        lengths = {i: forward.length(example) for i, example in enumerate(examples) if len(example.ids) <= self.longest}
        n_too_long = len(examples) - len(lengths)
        if n_too_long:
            n, longest = len(examples), self.longest
            logger.warning("%d of %d examples are longer than %d tokens: not scored", n_too_long, n, longest)
        made = list(batches(lengths, token_budget(self.machine, gpus())))
        results = self.score_batches([[examples[i] for i in batch] for batch in made], token_logps)
        scores = [_unscored(example) for example in examples]
        for batch, found in zip(made, results, strict=True):
            for i, result in zip(batch, found, strict=True):
                scores[i] = result
        self._require_numbers(scores)
        return scores

    def _check(self, index: int, example: Example) -> None:
        n = len(example.ids)
        for begin, end in forward.spans(example):
            if not (0 <= begin <= end <= n) or begin == 0 < end:
                raise ExampleError(index, f"span {begin, end} in {n} tokens (the first token has no log-prob)")
        if (unknown := unknown_id(example.ids, self.vocabulary)) is not None:
            raise ExampleError(index, f"token id {unknown}, but {self.model} has {self.vocabulary}")

    def _require_numbers(self, scores: Sequence[Score]) -> None:
        """A sum is NaN if one of its log-probs is, or if they are infinite."""
        for index, score in enumerate(scores):
            if not math.isfinite(score.trace_logp_sum or 0) or not math.isfinite(score.answer_logp_sum or 0):
                raise ExampleError(index, f"{self.model} gives it no finite log-prob: are its weights numbers?")


def _positions(model: str | Path) -> int:
    """Tokens that a text under the model may have.

    Raises:
        ValueError: the model rescales its logits.
    """
    config = load_config(model)
    for name in RESCALED:
        if getattr(config, name, None) is not None:
            raise ValueError(f"{model}: {name} = {getattr(config, name)} in config.json: not supported")
    return positions(model)


def _load(model: str | Path, precision: str, machine: Machine) -> AbstractContextManager[BatchScorer]:
    n_ranks = machine.score_ranks or gpus() or 1
    if 0 < gpus() < n_ranks:
        raise ValueError(f"score_ranks = {n_ranks}: this machine has {gpus()} GPUs")
    threads = machine.threads_of(weight_bytes(model), n_ranks)
    if not gpus():
        budget = token_budget(machine, 0)
        logger.info("scoring on CPU: %s, %d x %d thread(s), %d tokens a batch", precision, n_ranks, threads, budget)
    if n_ranks == 1 and not machine.score_zero3:
        device = "cuda" if gpus() else "cpu"
        return nullcontext(forward.batch_scorer(*forward.load(model, precision, device, threads)))
    return ranks.start(model, precision, n_ranks, zero3=machine.score_zero3, threads=threads)


def token_budget(machine: Machine, n_gpus: int) -> int:
    """Tokens in one batch. More of them do not stay in a CPU's cache, fewer leave a GPU idle."""
    return machine.score_tokens or (16384 if n_gpus else 2048)


def batches(lengths: Mapping[int, int], budget: int) -> Iterator[list[int]]:
    """Batches of examples, given by their indices, longest first.

    The number of examples times the longest length stays within the budget. An example that alone is longer than the
    budget is a batch of its own.

    Args:
        lengths: tokens by example index.
        budget: tokens, padding included.
    """
    batch: list[int] = []
    longest = 0
    for index in sorted(lengths, key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        longest = longest if batch else lengths[index]
        batch.append(index)
    if batch:
        yield batch


def _unscored(example: Example) -> Score:
    return Score(None, example.trace[1] - example.trace[0], None, None, None)


def score_traces(
    score: Scorer,
    traces: dy.DataFrame[Traces],
    examples_of: Callable[[pl.DataFrame], list[Example]],
    indices: list[int],
    *,
    token_logps: bool,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and row of schemas.Logps of some traces, in the order of their indices.

    Blocks are cut from all of `traces`, so the batch of a trace, and with it the last digits of its log-probs, do not
    depend on `indices`.

    Args:
        traces: problem_id, seed and the columns that `examples_of` needs.
        examples_of: turns a block of `traces` into one example for each of its rows, in their order.
        indices: rows of `traces` that are asked for, in ascending order.
        token_logps: keep the log-prob of every trace token.

    Raises:
        ValueError: as `score_block`.
    """
    wanted = set(indices)
    with tqdm(total=len(indices), desc="scoring", unit="trace") as bar:
        for block in resume.blocks(indices, BLOCK_ROWS, traces.height):
            keys = traces[block].select(TRACE_KEY).iter_rows(named=True)
            scores = score_block(score, traces[block], examples_of, token_logps=token_logps)
            for index, key, result in zip(block, keys, scores, strict=True):
                if index in wanted:
                    bar.update()
                    yield index, key | asdict(result)


def score_block(
    score: Scorer, traces: pl.DataFrame, examples_of: Callable[[pl.DataFrame], list[Example]], *, token_logps: bool
) -> list[Score]:
    """The scores of a block of traces, in its order; for the arguments see `score_traces`.

    Raises:
        ValueError: an example cannot be scored; its trace is named.
    """
    try:
        return score(examples_of(traces), token_logps)
    except ExampleError as error:
        key = traces.select(TRACE_KEY).row(error.index, named=True)
        raise ValueError(f"traces: {key}: {error.why}") from error
