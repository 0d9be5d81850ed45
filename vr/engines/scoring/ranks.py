"""Several processes of this machine that score together: each has a whole model, or all share one in parts.

A rank is one process; on a machine with GPUs it has the GPU of its index. Whole batches are dealt out by their tokens,
and which examples are a batch is not decided here, so results do not depend on the number of ranks. Under ZeRO-3
(DeepSpeed) every rank holds a part of each weight, and all ranks gather one layer after another while it is used. So
they have to make the same number of forward passes: a rank without a batch runs a dummy pass.

Ranks end with their parent, however that ends. If one fails or dies, the parent raises an error and ends the others.

Not covered: more than one machine; a rank that died is not started again.
"""

import gc
import heapq
import multiprocessing
import os
import signal
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
from vr.execution.processes import end_with_parent
from vr.renderers.example import Example
from vr.renderers.model_directory import load_model
from vr.settings.machine import free_port, gpus

GRACE = 10.0
"""Seconds in which a rank has to end by itself."""
DUMMY = [Example([0], trained_from=1, trace=(1, 1))]
"""The batch of a dummy pass: one token, nothing scored."""


@dataclass(frozen=True)
class Rank:
    """A process and the pipe to it, which carries tasks there and (succeeded, result or error message) back."""

    index: int
    process: BaseProcess
    connection: Connection


@dataclass(frozen=True)
class _Role:
    """What a rank has to know at its start."""

    model: str
    precision: str
    """float32 | bfloat16"""
    index: int
    n_ranks: int
    port: int | None
    """where the ranks that share a model find each other; None: each has a whole model"""
    threads: int
    parent: int
    """process id"""


@contextmanager
def start(
    model: str | Path, precision: str, n_ranks: int, *, zero3: bool, threads: int
) -> Iterator[forward.BatchScorer]:
    """The function that scores batches in processes that have loaded the model; they end with the block.

    Args:
        precision: float32 | bfloat16, of the computation up to the logits.
        zero3: the ranks share one model in parts.
        threads: compute threads of a rank, on a CPU.

    Raises:
        RuntimeError: a rank failed or died, at the start or while the function runs.
    """
    port = free_port() if zero3 else None
    team: list[Rank] = []
    try:
        for index in range(n_ranks):
            team.append(_start(_Role(str(model), precision, index, n_ranks, port, threads, os.getpid())))
        _receive(team)
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


def _start(role: _Role) -> Rank:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, role), name=f"scoring rank {role.index}", daemon=True)
    process.start()
    theirs.close()  # or else the rank's death would not end the pipe
    return Rank(role.index, process, ours)


def deal(costs: Sequence[int], n_ranks: int) -> list[list[int]]:
    """Indices of the batches that each rank gets: the most costly batch left goes to the rank with the least to do."""
    shares: list[list[int]] = [[] for _ in range(n_ranks)]
    loads = [(0, rank) for rank in range(n_ranks)]
    for batch in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(batch)
        heapq.heappush(loads, (load + costs[batch], rank))
    return shares


def _score(
    team: Sequence[Rank], zero3: bool, batches: Sequence[Sequence[Example]], token_logps: bool
) -> list[list[forward.Score]]:
    shares = deal([forward.cost(batch) for batch in batches], len(team))
    n_passes = max(map(len, shares))
    for rank, share in zip(team, shares, strict=True):
        tasks = [batches[i] for i in share] + [DUMMY] * (n_passes - len(share) if zero3 else 0)
        try:
            rank.connection.send((tasks, token_logps))
        except OSError:
            raise RuntimeError(_death(rank)) from None
    scores: dict[int, list[forward.Score]] = {}
    for share, results in zip(shares, _receive(team), strict=True):
        scores.update(zip(share, results, strict=not zero3))  # under ZeRO-3, results of DUMMY may follow
    return [scores[i] for i in range(len(batches))]


def _receive(team: Sequence[Rank]) -> list[Any]:
    """The next result of every rank, in the order of the ranks."""
    waiting = list(team)
    results = {}
    while waiting:
        ready = wait([rank.connection for rank in waiting])
        for rank in [rank for rank in waiting if rank.connection in ready]:
            waiting.remove(rank)
            try:
                succeeded, result = rank.connection.recv()
            except (EOFError, OSError):
                raise RuntimeError(_death(rank)) from None
            if not succeeded:
                raise RuntimeError(_death_of_another(team) or f"scoring rank {rank.index}: {result}")
            results[rank.index] = result
    return [results[rank.index] for rank in team]


def _death(rank: Rank) -> str:
    rank.process.join(GRACE)
    code = rank.process.exitcode
    if code is None or code >= 0:
        return f"scoring rank {rank.index} ended (exit status {code})"
    name = signal.Signals(-code).name
    return f"scoring rank {rank.index} was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def _death_of_another(team: Sequence[Rank]) -> str | None:
    """The death of a rank, if there was one: under ZeRO-3 it makes the other ranks fail, so it is the cause to name."""
    wait([rank.process.sentinel for rank in team], timeout=1)
    return next((_death(rank) for rank in team if rank.process.exitcode), None)


def _work(connection: Connection, role: _Role) -> None:
    """The main function of a rank: load the model, report that, and score what comes until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the parent deals with it
    end_with_parent(role.parent)
    gc.disable()  # the modules that loading imports stay to the end: searching them for garbage takes 2 of 6 seconds
    try:
        score_batches = forward.batch_scorer(*_load(role))
        gc.freeze()
        gc.enable()
        connection.send((True, None))
        for batches, token_logps in _tasks(connection):
            connection.send((True, score_batches(batches, token_logps)))
    except Exception as error:
        traceback.print_exc()
        connection.send((False, f"{type(error).__name__}: {error}"))


def _tasks(connection: Connection) -> Iterator[tuple[list[list[Example]], bool]]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _load(role: _Role) -> tuple[Any, Any]:
    device = f"cuda:{role.index}" if gpus() else "cpu"
    if role.port is None:
        return forward.load(role.model, role.precision, device, role.threads)
    return _load_part(role, device)


def _load_part(role: _Role, device: str) -> tuple[Any, Any]:
    """`forward.load` for ranks that share one model, whose weights are partitioned while they are read."""
    os.environ |= {"RANK": str(role.index), "LOCAL_RANK": str(role.index)}
    os.environ |= {"WORLD_SIZE": str(role.n_ranks), "LOCAL_WORLD_SIZE": str(role.n_ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(role.port)}
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed
    import torch
    from transformers.integrations import HfDeepSpeedConfig

    if device == "cpu":
        # Otherwise DeepSpeed compiles an all-reduce for inference, which takes a minute and is of no use here.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("gloo" if device == "cpu" else "nccl")
    if device == "cpu":
        torch.set_num_threads(role.threads)
    else:
        torch.cuda.set_device(device)
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": 3},
        "bf16": {"enabled": role.precision == "bfloat16"},
    }
    shared = HfDeepSpeedConfig(settings)  # from_pretrained finds it as long as it is referenced
    loaded = load_model(role.model, dtype=getattr(torch, role.precision))
    engine, *_ = deepspeed.initialize(model=loaded.base_model, config=shared.config)
    engine.eval()
    return engine, loaded.get_output_embeddings()
