"""Text drawn from a model by vLLM: token ids in, token ids out.

Every request has its own seed, so its text depends neither on the other requests of the batch nor on their order or
number: M requests on one prompt with M seeds are M independent draws. (One seed on M identical prompts gives the same
text M times; `request_seed` makes the seeds.) Requests are read as the engine has room for them, and samples are
handed on as they finish, so memory holds neither all prompts nor all texts.

Not covered: on a GPU, kernels round differently in batches of different size, so a draw may differ between batches
where two tokens are almost equally likely. Nothing is retried, filtered or shortened: a sample is what the model wrote
and what ended it.
"""

import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from tqdm import tqdm

from vr.engines.sampling.engine import open_engine
from vr.renderers import tokenizer
from vr.renderers.model_directory import require_model, unknown_id
from vr.settings.machine import Machine
from vr.settings.params import Sampling

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One text to draw."""

    index: int
    """the caller's name for it, unique; it has no influence on the text"""
    prompt_ids: list[int]
    """the ids that the model continues"""
    seed: int
    """of this request alone, from `request_seed`"""


@dataclass(frozen=True)
class Sample:
    """One text drawn."""

    ids: list[int]
    """as sampled, including the token that completed the end marker; empty if the prompt was too long"""
    before_marker: int
    """leading ids whose text lies wholly before the end marker; all ids if there is no marker"""
    text: str
    """ids as text, special tokens shown, up to what ended it: without end marker (and what overhangs it) or turn end"""
    finish: str
    """what ended it: marker | eos (end of turn) | length | prompt_too_long (nothing was sampled)"""
    logps: list[float] | None
    """log p of each of `ids` under the model at temperature 1 and top_p 1, in nats; None: not asked for"""


def request_seed(stage: str, problem_id: str, *numbers: int) -> int:
    """The seed of one request: a 63-bit hash of stage, problem and numbers (trace seed, sample, ...)."""
    name = "\x1f".join((stage, problem_id, *map(str, numbers)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def sample(
    model: str | Path,
    requests: Iterable[Request],
    decoding: Sampling,
    machine: Machine,
    *,
    total: int,
    end_marker: str | None,
    logps: bool = False,
) -> Iterator[tuple[int, Sample]]:
    """Each request's index and sample, in the order in which the samples finish.

    Args:
        model: a model directory. An engine is started only if there is a request.
        requests: read one by one, at most two engine batches ahead of the samples.
        decoding: at temperature 0 the likeliest token is taken each time; max_tokens is lowered where the model's
            length leaves less room.
        total: number of requests, for the progress bar.
        end_marker: text that ends a sample, of one token or several; None: only the end of the turn does.
        logps: keep the log-prob of every sampled token.

    Raises:
        FileNotFoundError, ValueError: no such model, or it is not whole; raised by the call itself.
        ValueError: a prompt has a token id that the model does not know.
        RuntimeError: the engine cannot start, failed or died, among others because the model computes NaN.
    """
    require_model(model)
    return _sample(model, iter(requests), decoding, machine, total, end_marker, logps)


def _sample(
    model: str | Path,
    requests: Iterator[Request],
    decoding: Sampling,
    machine: Machine,
    total: int,
    end_marker: str | None,
    logps: bool,
) -> Iterator[tuple[int, Sample]]:
    first = next(requests, None)
    if first is None:
        return
    with open_engine(model, decoding.precision, machine) as engine:
        requests = itertools.chain([first], requests)
        yield from draw(engine, requests, decoding, total=total, end_marker=end_marker, logps=logps)


def draw(
    engine: Any,
    requests: Iterable[Request],
    decoding: Sampling,
    *,
    total: int,
    end_marker: str | None,
    logps: bool = False,
) -> Iterator[tuple[int, Sample]]:
    """`sample` with an open engine, which serves one call at a time and keeps the precision it was opened with."""
    decoder = engine.get_tokenizer()
    n_too_long = 0
    with tqdm(total=total, desc="sampling", unit="text") as bar:
        for index, completion in _completions(engine, requests, decoding, _shared_params(decoder, end_marker, logps)):
            bar.update()
            n_too_long += completion is None
            nothing = Sample([], 0, "", "prompt_too_long", [] if logps else None)
            yield index, nothing if completion is None else _to_sample(completion, decoder, end_marker)
    if n_too_long:
        longest = engine.model_config.max_model_len
        logger.warning("%d of %d prompts do not fit in %d tokens", n_too_long, total, longest)


def _shared_params(decoder: Any, end_marker: str | None, logps: bool) -> dict[str, Any]:
    """The vLLM sampling parameters that all requests of a call have in common, beside `decoding`."""
    from vllm.sampling_params import RequestOutputKind

    return {
        "stop": end_marker,
        "include_stop_str_in_output": True,
        "stop_token_ids": tokenizer.turn_ends(decoder),
        "skip_special_tokens": False,  # the search for the stop string must see a marker that is a special token
        "output_kind": RequestOutputKind.FINAL_ONLY,
        "logprobs": 0 if logps else None,  # 0: of the sampled token alone
        "flat_logprobs": True,
    }


def _completions(
    engine: Any, requests: Iterable[Request], decoding: Sampling, shared: dict[str, Any]
) -> Iterator[tuple[int, Any | None]]:
    """Each request's index and vLLM completion, as they finish; None for a prompt that leaves no room."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.v1.engine.exceptions import EngineDeadError

    n_ahead = 2 * engine.vllm_config.scheduler_config.max_num_seqs  # a full batch and its replacement
    known = engine.model_config.get_vocab_size()
    in_flight: set[str] = set()
    try:
        for request in requests:
            n_most = min(decoding.max_tokens, engine.model_config.max_model_len - len(request.prompt_ids))
            if n_most < 1:
                yield request.index, None
                continue
            params = SamplingParams(
                temperature=decoding.temperature, top_p=decoding.top_p, max_tokens=n_most, seed=request.seed, **shared
            )
            if (unknown := unknown_id(request.prompt_ids, known)) is not None:
                raise ValueError(f"prompt {request.index}: token id {unknown}, but the model has {known}")
            with _as_runtime_error(engine, EngineDeadError):
                engine.add_request(str(request.index), tokens_input(request.prompt_ids), params)
            in_flight.add(str(request.index))
            while len(in_flight) >= n_ahead:
                yield from _step(engine, in_flight)
        while in_flight:
            yield from _step(engine, in_flight)
    finally:  # a caller that stops early leaves nothing behind in the engine
        engine.abort_request(list(in_flight))


def _step(engine: Any, in_flight: set[str]) -> list[tuple[int, Any]]:
    """One token for every text of the batch; the texts that are finished by it."""
    with _as_runtime_error(engine, Exception):
        outputs = engine.step()
    in_flight.difference_update(output.request_id for output in outputs)
    return [(int(output.request_id), output.outputs[0]) for output in outputs]


@contextmanager
def _as_runtime_error(engine: Any, kind: type[Exception]) -> Iterator[None]:
    """Turn an exception after which the engine is of no more use into a RuntimeError that says so."""
    try:
        yield
    except kind as error:
        raise RuntimeError(f"{engine.model_config.model}: vLLM ended: {shorten(repr(error), 300)}") from error


def _to_sample(completion: Any, decoder: Any, end_marker: str | None) -> Sample:
    ids, logps = list(completion.token_ids), _logps(completion)
    if end_marker is not None and (split := tokenizer.split_at_marker(decoder, ids, end_marker)) is not None:
        n_with_marker, n_before_marker = split
        text = tokenizer.decode(decoder, ids[:n_with_marker]).partition(end_marker)[0]
        return Sample(ids[:n_with_marker], n_before_marker, text, "marker", logps and logps[:n_with_marker])
    if completion.finish_reason == "length":
        return Sample(ids, len(ids), tokenizer.decode(decoder, ids), "length", logps)
    if completion.finish_reason != "stop":
        raise RuntimeError(f"vLLM ended a request with {completion.finish_reason!r}")
    return Sample(ids, len(ids), tokenizer.decode(decoder, ids[:-1]), "eos", logps)


def _logps(completion: Any) -> list[float] | None:
    """The log-probs of the sampled tokens, from a FlatLogprobs with one entry a token."""
    if completion.logprobs is None:
        return None
    assert completion.logprobs.token_ids == list(completion.token_ids)
    return completion.logprobs.logprobs
