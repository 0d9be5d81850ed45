"""How a run is carried out on this machine: ranks, batches, workers. Nothing here changes what is computed.

Rounding is another matter. `score_tokens` decides which traces are padded together, which moves a token's log-prob by
up to 5e-6 nats in float32; the layout of a training, the last digits of its sums; and on GPUs `max_sequences`, which
of two almost equally likely tokens is drawn.

What machine.yaml leaves out is found out from the machine. A change of it makes no stage run again.
vr/recipes/machines/example.yaml shows every entry.
"""

import os
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import psutil
from pydantic import Field, ValidationError

from vr.settings.entries import Entries, error_line

_FILE = "machine.yaml"
Processes = Annotated[int, Field(gt=0, le=1024)]
"""Processes or threads of one machine; more are a slip of the pen that would bring it to a halt."""
Positive = Annotated[int, Field(gt=0, lt=2**31)]
SMALL_MODEL_BYTES = 16 << 20
"""The miniature has 1 to 2 MB of weights, the smallest pretrained models 100 times as many."""


class Machine(Entries):
    """The entries of machine.yaml, all optional."""

    train_ranks: Processes | None = None
    """training processes; default: one a GPU, on CPU one per 16 rows of the batch, up to the cores"""
    train_micro_batch: Positive | None = None
    """rows a rank takes at once; default: on GPUs 1, on CPU up to 64, for a larger model up to 2048 tokens"""
    zero_stage: Literal[1, 2, 3] = 2
    """DeepSpeed ZeRO stage"""
    checkpoint_steps: Positive = 100
    """optimisation steps between two checkpoints, at most"""
    checkpoint_minutes: Annotated[float, Field(gt=0, le=10_000)] = 10
    """minutes between two checkpoints, at most: what an interruption can cost"""
    shard_rows: Positive = 256
    """finished rows of a long stage that are saved together: what an interruption can cost"""
    tensor_parallel: Processes | None = None
    """vLLM: GPUs a model is split over; default: all"""
    kv_cache_gib: Annotated[int, Field(gt=0, le=4096)] | None = None
    """vLLM on CPU: memory for keys and values, at most; default: an eighth of the machine's"""
    max_sequences: Positive = 256
    """vLLM: sequences in flight"""
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9
    """vLLM: share of a GPU's memory"""
    score_tokens: Positive | None = None
    """tokens in one scoring batch, padding included; default: on CPU 2048, on GPUs 16384"""
    score_ranks: Processes | None = None
    """scoring processes, each with the model; default: one a GPU, on CPU one"""
    score_zero3: bool = False
    """the scoring processes share one model in parts (DeepSpeed ZeRO-3): for a model that does not fit one GPU"""
    verify_workers: Processes | None = None
    """verifier processes; default: one a core"""
    allow_unsafe_execution: bool = False
    """judge programs where no sandbox holds (`python -m vr.verify selfcheck` says what is then open)"""
    threads: Processes | None = None
    """compute threads of a CPU process; default: a share of the cores, see `threads_of`"""
    stages_at_once: Processes | None = None
    """independent stages that `make repro` runs side by side; default: on CPU two where there are two cores or more,
    with GPUs one"""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The entries of the parsed file.

        Raises:
            ValueError: an entry is unknown or out of range; one line each.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            items = ((".".join(map(str, item["loc"])), item) for item in error.errors())
            raise ValueError("\n".join(error_line(_FILE, entry, item) for entry, item in items)) from error

    @property
    def verify_options(self) -> dict[str, Any]:
        """What `verify.verify` has to know of this machine, as its arguments."""
        return {"workers": self.verify_workers, "allow_unsafe": self.allow_unsafe_execution}

    @property
    def kv_cache_bytes(self) -> int:
        """vLLM on CPU: memory for keys and values, at most."""
        return self.kv_cache_gib * 2**30 if self.kv_cache_gib else psutil.virtual_memory().total // 8

    @property
    def at_once(self) -> int:
        """Independent stages that run side by side on this machine."""
        return self.at_once_on(gpus(), cores())

    def at_once_on(self, n_gpus: int, n_cores: int) -> int:
        """Independent stages that run side by side: two, one on GPUs or on one core, if the file does not say."""
        return self.stages_at_once or (1 if n_gpus else min(2, n_cores))

    def threads_of(self, weight_bytes: int, processes: int = 1) -> int:
        """Compute threads of each of the CPU processes that work together with one model.

        What is left out of machine.yaml: for a model whose weights stay in a core's cache (`SMALL_MODEL_BYTES`) one,
        with which it is fastest; otherwise the cores, shared out to the stages that run side by side and the processes.
        On two cores two stages of one thread each make 1.5 times as many tokens as one stage of two threads.
        """
        if self.threads is not None:
            return self.threads
        return 1 if weight_bytes <= SMALL_MODEL_BYTES else max(1, cores() // (self.at_once * processes))


def cores() -> int:
    """CPU cores that this process may use: `taskset` and the like are respected."""
    return len(os.sched_getaffinity(0))


def gpus() -> int:
    """GPUs that torch sees, without importing torch where no driver is."""
    if not os.path.exists("/dev/nvidiactl"):
        return 0
    import torch

    return torch.cuda.device_count()


def free_port() -> int:
    """A TCP port of this machine where nobody listens, for processes that have to find each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
