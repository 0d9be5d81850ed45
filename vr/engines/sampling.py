"""Text drawn from a model, by vLLM: token ids in, token ids out.

Every request has its own seed, so its text does not depend on what else is in the batch, on the order or on the
number of requests; M requests on one prompt with M seeds are M independent draws. (One seed on M identical
prompts gives M times the same text: make seeds with `request_seed`.) Requests are taken as the engine gets to them
and samples handed on as they finish, so that neither all prompts nor all texts need stand in memory.

Not covered: on a GPU, kernels round differently in batches of different size, so a draw may there differ between
batches where two tokens are all but equally likely. Nothing is retried, filtered or cut to shape: what the model
wrote is handed on, with what ended it.
"""

import hashlib
import itertools
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vr.renderers import markers, renderer
from vr.settings.machine import Machine, gpus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One text to draw."""

    number: int
    """what the caller knows it by; not used in drawing; unique"""
    prompt_ids: list[int]
    """what the model is given, as ids"""
    seed: int
    """of this request alone, from `request_seed`"""


@dataclass(frozen=True)
class Sample:
    """One text drawn."""

    ids: list[int]
    """as sampled, up to and with the token that completed the end marker; empty where nothing was sampled"""
    thought_tokens: int
    """leading ids whose text lies wholly before the end marker; all of them where there is no marker"""
    text: str
    """ids as text, special tokens shown, without what ended it (end marker, end of turn) and what overhangs it"""
    finish: str
    """what ended it: marker | eos (end of turn) | length | prompt_too_long (nothing was sampled)"""
    logps: list[float] | None
    """log p of each of `ids` under the model at temperature 1, top_p 1, in nats; None: not asked for"""


def request_seed(stage: str, problem_id: str, *numbers: int) -> int:
    """The seed of one request: a 63-bit hash of stage, problem and the numbers (trace seed, sample, ...)."""
    name = "\x1f".join((stage, problem_id, *map(str, numbers)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def sample(
    model: str | Path,
    requests: Iterable[Request],
    *,
    total: int,
    temperature: float,
    top_p: float,
    max_tokens: int,
    end_marker: str | None,
    machine: Machine,
    logps: bool = False,
) -> Iterator[tuple[int, Sample]]:
    """(number, sample) of every request, in the order in which they finish.

    Args:
        model: a model directory; no engine is opened where there is no request.
        requests: taken one by one, no more than two engine batches ahead of the samples.
        total: how many requests there are, for the progress bar.
        temperature: 0 takes the likeliest token each time.
        max_tokens: most tokens to sample; fewer where the model's length allows no more.
        end_marker: text that ends a sample, one token or several; None: only the end of the turn does.
        logps: also hand back the log-prob of every sampled token.

    Raises:
        FileNotFoundError: no such model; at the call.
        RuntimeError: the engine ended before the requests did.
    """
    renderer.require_model(model)

    def opened_and_drawn() -> Iterator[tuple[int, Sample]]:
        waiting = iter(requests)
        first = next(waiting, None)
        if first is None:
            return
        with engine(model, machine) as opened:
            yield from draw(
                opened,
                itertools.chain([first], waiting),
                total=total,
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_tokens,
                end_marker=end_marker,
                logps=logps,
            )

    return opened_and_drawn()


@contextmanager
def engine(model: str | Path, machine: Machine) -> Iterator[Any]:
    """A vLLM engine with the model loaded, shut down at the end; in this process, where closing one ends all others.

    Raises:
        FileNotFoundError: no such model.
    """
    renderer.require_model(model)
    settings = engine_settings(model, machine)  # first: it sets what vLLM reads as it is imported
    from vllm import EngineArgs, LLMEngine  # 15 s: only where a model is sampled from

    opened = LLMEngine.from_engine_args(EngineArgs(**settings))
    _wake_at_death(opened.engine_core)
    try:
        yield opened
    finally:
        opened.engine_core.shutdown()


def _wake_at_death(client: Any) -> None:
    """Let a step that waits for an engine process see that the process was killed.

    vLLM 0.28 notices it and ends the thread that receives, but not the wait for what that thread would pass on.
    An engine within this process has no such thread.
    """
    receiver = getattr(client, "output_queue_thread", None)
    if receiver is None:
        return
    from vllm.v1.engine.exceptions import EngineDeadError

    def wake() -> None:
        receiver.join()
        client.outputs_queue.put(EngineDeadError())

    threading.Thread(target=wake, daemon=True, name="wake-at-engine-death").start()


def engine_settings(model: str | Path, machine: Machine) -> dict[str, Any]:
    """The arguments of vLLM's EngineArgs; also sets the environment variables that vLLM reads."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    return {
        "model": str(model),
        "trust_remote_code": False,
        "generation_config": "vllm",  # nothing from the model's directory changes the sampling
        "logprobs_mode": "raw_logprobs",  # of the logits as they are, before temperature and top_p
        "max_num_seqs": machine.max_sequences,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **(_gpu_settings(machine) if gpus() else _cpu_settings(model, machine)),
    }


def _gpu_settings(machine: Machine) -> dict[str, Any]:
    return {
        "dtype": "auto",
        "tensor_parallel_size": machine.tensor_parallel or gpus(),
        "gpu_memory_utilization": machine.gpu_memory,
    }


def _cpu_settings(model: str | Path, machine: Machine) -> dict[str, Any]:
    """In one process, in float32, with prefills in one piece (a split one crashes on requests with seeds)."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(machine.kv_cache_gib)
    os.environ["OMP_NUM_THREADS"] = str(machine.threads)  # read by vLLM; torch may have been imported before
    import torch

    if torch.get_num_threads() != machine.threads:
        torch.set_num_threads(machine.threads)
    # The rank that vLLM adds to each log-prob would be compiled: 17 s and a C++ compiler, for nothing on small models.
    torch.compiler.set_stance("force_eager")
    length = _config(model).max_position_embeddings
    return {
        "dtype": "float32",
        "distributed_executor_backend": "uni",
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(length, machine.max_sequences, 8192),
    }


def _config(model: str | Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model, trust_remote_code=False)


def draw(
    opened: Any,
    requests: Iterable[Request],
    *,
    total: int,
    temperature: float,
    top_p: float,
    max_tokens: int,
    end_marker: str | None,
    logps: bool = False,
) -> Iterator[tuple[int, Sample]]:
    """`sample` with an engine that is open already, for one call at a time."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.exceptions import EngineDeadError

    coder = renderer.Renderer(opened.get_tokenizer())
    room = opened.model_config.max_model_len
    shared = {
        "temperature": temperature,
        "top_p": top_p,
        "stop": end_marker,
        "include_stop_str_in_output": True,
        "stop_token_ids": _turn_ends(coder),
        "skip_special_tokens": False,  # a marker that is one must be seen by the search for the stop string
        "output_kind": RequestOutputKind.FINAL_ONLY,
        "logprobs": 0 if logps else None,  # 0: of the sampled token alone
        "flat_logprobs": True,
    }
    ahead = 2 * opened.vllm_config.scheduler_config.max_num_seqs  # a full batch and its replacement
    in_flight: set[str] = set()
    too_long = 0

    def finished() -> Iterator[tuple[int, Sample]]:
        with _engine_ends(Exception):
            outputs = opened.step()
        for output in outputs:
            in_flight.remove(output.request_id)
            bar.update()
            yield int(output.request_id), _sample(output.outputs[0], coder, end_marker)

    try:
        with tqdm(total=total, desc="sampling", unit="text") as bar:
            for request in requests:
                most = min(max_tokens, room - len(request.prompt_ids))
                if most < 1:
                    too_long += 1
                    bar.update()
                    yield request.number, Sample([], 0, "", "prompt_too_long", [] if logps else None)
                    continue
                params = SamplingParams(seed=request.seed, max_tokens=most, **shared)
                with _engine_ends(EngineDeadError):
                    opened.add_request(str(request.number), tokens_input(request.prompt_ids), params)
                in_flight.add(str(request.number))
                while len(in_flight) >= ahead:
                    yield from finished()
            while in_flight:
                yield from finished()
    finally:  # a caller that stops early leaves nothing behind in the engine
        opened.abort_request(list(in_flight))
    if too_long:
        logger.warning("%d of %d prompts do not fit in %d tokens", too_long, total, room)


@contextmanager
def _engine_ends(kind: type[Exception]) -> Iterator[None]:
    """An exception of this kind says that the engine is of no more use: a RuntimeError made from it."""
    try:
        yield
    except kind as error:
        raise RuntimeError(f"vLLM ended: {error!r}") from error


def _turn_ends(coder: renderer.Renderer) -> list[int]:
    """The tokens that end a turn or a text, where the tokenizer has them."""
    encoded = [coder.encode(name) for name in (markers.TURN_END, markers.TEXT_END)]
    return [ids[0] for ids in encoded if len(ids) == 1]


def _sample(completion: Any, coder: renderer.Renderer, end_marker: str | None) -> Sample:
    ids, logps = list(completion.token_ids), _logps(completion)
    if end_marker is not None and (ended := _split(ids, coder, end_marker)) is not None:
        length, thought = ended
        text = coder.decode(ids[:length]).partition(end_marker)[0]
        return Sample(ids[:length], thought, text, "marker", logps and logps[:length])
    if completion.finish_reason == "length":
        return Sample(ids, len(ids), coder.decode(ids), "length", logps)
    if completion.finish_reason != "stop":
        raise RuntimeError(f"vLLM ended a request with {completion.finish_reason!r}")
    return Sample(ids, len(ids), coder.decode(ids[:-1]), "eos", logps)


def _logps(completion: Any) -> list[float] | None:
    """The sampled tokens' own log-probs: of a FlatLogprobs with one entry a token."""
    if completion.logprobs is None:
        return None
    assert completion.logprobs.token_ids == list(completion.token_ids)
    return completion.logprobs.logprobs


def _split(ids: Sequence[int], coder: renderer.Renderer, marker: str) -> tuple[int, int] | None:
    """(ids up to the one that completes the marker, ids wholly before it), or None without a marker."""
    # A marker cannot have more tokens than bytes, so only the tail is decoded, however long the trace is.
    tail = ids[-2 * len(marker.encode()) :]
    begin = coder.decode(tail).find(marker)
    if begin < 0:
        return None
    end = len(tail)
    while marker in coder.decode(tail[: end - 1]):
        end -= 1
    before = end - 1
    while len(coder.decode(tail[:before])) > begin:
        before -= 1
    skipped = len(ids) - len(tail)
    return skipped + end, skipped + before
