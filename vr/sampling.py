"""Text drawn from a model, by vLLM: token ids in, token ids out.

Every request has its own seed, so its text does not depend on what else is in the batch, on the order or on the
number of requests; M requests on one prompt with M seeds are M independent draws. (One seed on M identical
prompts gives M times the same text: make seeds with `request_seed`.)

Not covered: on a GPU, kernels round differently in batches of different size, so a draw may there differ between
batches where two tokens are all but equally likely. Nothing is retried, filtered or cut to shape: what the model
wrote is handed on, with what ended it.
"""

import hashlib
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vr import prompts, tokens
from vr.machine import Machine, gpus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One text to draw."""

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


def request_seed(stage: str, problem_id: str, *numbers: int) -> int:
    """The seed of one request: a 63-bit hash of stage, problem and the numbers (trace seed, sample, ...)."""
    name = "\x1f".join((stage, problem_id, *map(str, numbers)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def sample(
    model: str | Path,
    requests: Sequence[Request],
    *,
    temperature: float,
    top_p: float,
    max_tokens: int,
    end_marker: str | None,
    machine: Machine,
) -> Iterator[Sample]:
    """One sample a request, in the order of the requests, each as soon as it and those before it are done.

    Args:
        model: a model directory.
        temperature: 0 takes the likeliest token each time.
        max_tokens: most tokens to sample; fewer where the model's length allows no more.
        end_marker: text that ends a sample, one token or several; None: only the end of the turn does.

    Raises:
        FileNotFoundError: no such model.
    """
    tokens.require_model(model)
    if not requests:
        return iter(())

    def opened_and_drawn() -> Iterator[Sample]:
        with engine(model, machine) as opened:
            yield from draw(
                opened, requests, temperature=temperature, top_p=top_p, max_tokens=max_tokens, end_marker=end_marker
            )

    return opened_and_drawn()


@contextmanager
def engine(model: str | Path, machine: Machine) -> Iterator[Any]:
    """A vLLM engine with the model loaded, shut down at the end; in this process, where closing one ends all others.

    Raises:
        FileNotFoundError: no such model.
    """
    tokens.require_model(model)
    settings = _gpu_settings(machine) if gpus() else _cpu_settings(model, machine)
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import EngineArgs, LLMEngine  # 15 s: only where a model is sampled from

    opened = LLMEngine.from_engine_args(
        EngineArgs(
            model=str(model),
            trust_remote_code=False,
            generation_config="vllm",  # nothing from the model's directory changes the sampling
            max_num_seqs=machine.max_sequences,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **settings,
        )
    )
    try:
        yield opened
    finally:
        opened.engine_core.shutdown()


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
    requests: Sequence[Request],
    *,
    temperature: float,
    top_p: float,
    max_tokens: int,
    end_marker: str | None,
) -> Iterator[Sample]:
    """`sample` with an engine that is open already, for one call at a time."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    coder = tokens.Coder(opened.get_tokenizer())
    room = opened.model_config.max_model_len
    shared = {
        "temperature": temperature,
        "top_p": top_p,
        "stop": end_marker,
        "include_stop_str_in_output": True,
        "stop_token_ids": _turn_ends(coder),
        "skip_special_tokens": False,  # a marker that is one must be seen by the search for the stop string
        "output_kind": RequestOutputKind.FINAL_ONLY,
    }
    too_long = [n for n, request in enumerate(requests) if len(request.prompt_ids) + 1 > room]
    if too_long:
        logger.warning("%d of %d prompts do not fit in %d tokens", len(too_long), len(requests), room)
    done = {n: Sample([], 0, "", "prompt_too_long") for n in too_long}
    waiting = iter([n for n in range(len(requests)) if n not in done])
    ahead = 2 * opened.vllm_config.scheduler_config.max_num_seqs  # a full batch and its replacement
    in_flight: set[str] = set()
    try:
        with tqdm(total=len(requests), desc="sampling", unit="text", initial=len(done)) as bar:
            for number in range(len(requests)):
                while number not in done:
                    for n in itertools.islice(waiting, ahead - len(in_flight)):
                        prompt_ids = requests[n].prompt_ids
                        most = min(max_tokens, room - len(prompt_ids))
                        params = SamplingParams(seed=requests[n].seed, max_tokens=most, **shared)
                        opened.add_request(str(n), tokens_input(prompt_ids), params)
                        in_flight.add(str(n))
                    for output in opened.step():
                        in_flight.remove(output.request_id)
                        done[int(output.request_id)] = _sample(output.outputs[0], coder, end_marker)
                        bar.update()
                yield done.pop(number)
    finally:  # a caller that stops early leaves nothing behind in the engine
        opened.abort_request(list(in_flight))


def _turn_ends(coder: tokens.Coder) -> list[int]:
    """The tokens that end a turn or a text, where the tokenizer has them."""
    encoded = [coder.encode(name) for name in (prompts.TURN_END, prompts.TEXT_END)]
    return [ids[0] for ids in encoded if len(ids) == 1]


def _sample(completion: Any, coder: tokens.Coder, end_marker: str | None) -> Sample:
    ids = list(completion.token_ids)
    if end_marker is not None and (ended := _split(ids, coder, end_marker)) is not None:
        length, thought = ended
        return Sample(ids[:length], thought, coder.decode(ids[:length]).partition(end_marker)[0], "marker")
    if completion.finish_reason == "length":
        return Sample(ids, len(ids), coder.decode(ids), "length")
    if completion.finish_reason != "stop":
        raise RuntimeError(f"vLLM ended a request with {completion.finish_reason!r}")
    return Sample(ids, len(ids), coder.decode(ids[:-1]), "eos")


def _split(ids: Sequence[int], coder: tokens.Coder, marker: str) -> tuple[int, int] | None:
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
