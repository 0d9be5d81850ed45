"""Several processes of this machine that score together, each with a model of its own, or all with one in parts.

A rank is one process, on GPUs with the GPU of its number. Batches are dealt out whole, by tokens; what is in a batch
is not decided here, so results do not depend on the number of ranks. With ZeRO-3 (DeepSpeed) every rank holds a part
of each weight, and the ranks put one layer after another together for the time of its use: they have to make the same
forward passes at the same time, and one that has no batch left makes one for nothing.

Ranks end with their parent, however that ends. One that dies or fails is an error in the parent, and ends the rest.

Not covered: more than one machine; a rank is not started again.
"""

import heapq
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vr.engines.scoring import forward
from vr.renderers.renderer import Example
from vr.settings.machine import free_port, gpus

logger = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that a rank is given to end by itself."""
NOTHING = [Example([0], trained_from=1, trace=(1, 1))]
"""The batch of a rank that only takes part: one token, nothing scored."""


@dataclass(frozen=True)
class Rank:
    """A process, and the pipe to it: tasks there, (well?, result or what went wrong) back."""

    number: int
    process: BaseProcess
    connection: Connection


@contextmanager
def start(model: str | Path, ranks: int, *, zero3: bool, threads: int) -> Iterator[forward.BatchScorer]:
    """Processes that have loaded the model, behind a function that scores batches; they end with the block.

    Args:
        threads: compute threads a rank, on a CPU.

    Raises:
        RuntimeError: a rank failed or died, here or in the function.
    """
    context = multiprocessing.get_context("spawn")
    port = free_port() if zero3 else None
    team: list[Rank] = []
    try:
        for number in range(ranks):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, model, number, ranks, port, threads))
            process.name, process.daemon = f"scoring rank {number}", True
            process.start()
            theirs.close()  # else the rank's death would not end the pipe
            team.append(Rank(number, process, ours))
        _answers(team)
        yield partial(_score, team, zero3)
        for rank in team:
            rank.connection.close()
        for rank in team:
            rank.process.join(GRACE)
    finally:
        for rank in team:
            rank.process.kill()
        for rank in team:
            rank.process.join()


def deal(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """Numbers of the batches that each rank gets: the dearest that is left to whoever has least to do."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, rank) for rank in range(ranks)]
    for number in sorted(range(len(costs)), key=lambda n: (-costs[n], n)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(number)
        heapq.heappush(loads, (load + costs[number], rank))
    return shares


def _score(
    team: Sequence[Rank], zero3: bool, batches: Sequence[Sequence[Example]], token_logps: bool
) -> list[list[forward.Score]]:
    shares = deal([forward.cost(rows) for rows in batches], len(team))
    passes = max(map(len, shares))
    for rank, share in zip(team, shares, strict=True):
        tasks = [batches[number] for number in share] + [NOTHING] * (passes - len(share) if zero3 else 0)
        try:
            rank.connection.send((tasks, token_logps))
        except OSError:
            raise RuntimeError(_death(rank)) from None
    scores: dict[int, list[forward.Score]] = {}
    for share, results in zip(shares, _answers(team), strict=True):
        scores.update(zip(share, results, strict=not zero3))  # ZeRO-3: results of NOTHING may follow
    return [scores[number] for number in range(len(batches))]


def _answers(team: Sequence[Rank]) -> list[Any]:
    """The next result of every rank."""
    waiting = list(team)
    results = {}
    while waiting:
        ready = wait([rank.connection for rank in waiting])
        for rank in [rank for rank in waiting if rank.connection in ready]:
            waiting.remove(rank)
            try:
                well, result = rank.connection.recv()
            except (EOFError, OSError):
                raise RuntimeError(_death(rank)) from None
            if not well:
                raise RuntimeError(_death_of_another(team) or f"scoring rank {rank.number}: {result}")
            results[rank.number] = result
    return [results[rank.number] for rank in team]


def _death(rank: Rank) -> str:
    rank.process.join(GRACE)
    code = rank.process.exitcode
    if code is None or code >= 0:
        return f"scoring rank {rank.number} ended (exit status {code})"
    name = signal.Signals(-code).name
    return f"scoring rank {rank.number} was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def _death_of_another(team: Sequence[Rank]) -> str | None:
    """Under ZeRO-3 a rank's death makes the others fail: then the death is what has to be told."""
    wait([rank.process.sentinel for rank in team], timeout=1)
    return next((_death(rank) for rank in team if rank.process.exitcode), None)


def _work(connection: Connection, model: str | Path, number: int, ranks: int, port: int | None, threads: int) -> None:
    """What a rank does: load, say so, and score what comes until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent sees to it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        device = f"cuda:{number}" if gpus() else "cpu"
        if port is None:
            loaded = forward.load(model, device, threads)
        else:
            loaded = _load_part(model, device, number, ranks, port, threads)
        connection.send((True, None))
        for batches, token_logps in _tasks(connection):
            connection.send((True, [forward.score_batch(*loaded, rows, token_logps) for rows in batches]))
    except Exception as error:
        traceback.print_exc()
        connection.send((False, f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _tasks(connection: Connection) -> Iterator[tuple[list[list[Example]], bool]]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _load_part(model: str | Path, device: str, number: int, ranks: int, port: int, threads: int) -> tuple[Any, Any]:
    """`forward.load` for one of the ranks that share a model: weights are parted while they are read."""
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number)}
    os.environ |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    deepspeed.init_distributed("gloo" if device == "cpu" else "nccl")
    if device == "cpu":
        torch.set_num_threads(threads)
        dtype = torch.float32
    else:
        torch.cuda.set_device(device)
        dtype = AutoConfig.from_pretrained(model, trust_remote_code=False).dtype
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": 3},
        "bf16": {"enabled": dtype is torch.bfloat16},
        "fp16": {"enabled": dtype is torch.float16},
    }
    shared = HfDeepSpeedConfig(settings)  # from_pretrained finds it while it lives
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, trust_remote_code=False)
    engine, *_ = deepspeed.initialize(model=loaded.base_model, config=shared.config)
    engine.eval()
    return engine, loaded.get_output_embeddings()
