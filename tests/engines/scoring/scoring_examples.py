"""What the tests of scoring share: random examples, their scores, and log-probs computed in the plainest way."""

import math
import random
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from vr.engines.scoring import forward, scorer
from vr.renderers.example import Example
from vr.settings.machine import Machine


def make_examples(count: int, seed: int = 0) -> list[Example]:
    """Rows of 12 to 90 random ids, every other one without an answer."""
    rng = random.Random(seed)
    examples = []
    for n in range(count):
        begin, trace, lead, answer = rng.randint(1, 20), rng.randint(5, 40), rng.randint(1, 4), rng.randint(1, 20)
        ids = [rng.randrange(300) for _ in range(begin + trace + lead + answer + 1)]
        spans = (begin, begin + trace), (begin + trace + lead, begin + trace + lead + answer)
        examples.append(Example(ids, begin, spans[0], spans[1] if n % 2 else None))
    return examples


def score_examples(
    model: str | Path,
    examples: Sequence[Example],
    *,
    token_logps: bool = True,
    precision: str = "float32",
    **machine: Any,
) -> list[forward.Score]:
    """One block, scored by a scorer of its own."""
    with scorer.scorer(model, precision, Machine(**machine)) as score:
        return score(examples, token_logps)


def plain_logps(model: Path, example: Example) -> list[float]:
    """log p of ids[1:], by one unbatched forward and a softmax over everything; the first entry is a filler."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        logps_TV = loaded(torch.tensor([example.ids])).logits[0].log_softmax(-1)
    return [math.nan, *(float(logps_TV[t - 1, example.ids[t]]) for t in range(1, len(example.ids)))]


def assert_same(left: list[forward.Score], right: list[forward.Score]) -> None:
    for a, b in zip(left, right, strict=True):
        assert astuple(a)[1::2] == astuple(b)[1::2]  # counts
        assert a.trace_logp_sum == pytest.approx(b.trace_logp_sum, abs=1e-4)
        assert a.answer_logp_sum == pytest.approx(b.answer_logp_sum, abs=1e-4)
        assert a.trace_logps == pytest.approx(b.trace_logps, abs=1e-5)
