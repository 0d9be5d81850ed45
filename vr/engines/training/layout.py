"""How a global batch is spread over processes, micro-batches and accumulation steps. What is learnt does not change."""

import os
from dataclasses import dataclass

from vr.settings.machine import Machine

_CPU_MICRO_BATCH = 64  # rows at most that a CPU rank takes at once
_CPU_ROWS_A_RANK = 16  # measured on the miniature: two ranks of 8 rows take 15 steps a second, one of 16 takes 13


@dataclass(frozen=True)
class Layout:
    """One step takes ranks * micro_batch * accumulation rows."""

    ranks: int
    micro_batch: int
    accumulation: int
    zero_stage: int
    gpu: bool

    @property
    def batch(self) -> int:
        """Rows of a step."""
        return self.ranks * self.micro_batch * self.accumulation


def cores() -> int:
    """CPU cores that this process may use: `taskset` and the like are respected."""
    return len(os.sched_getaffinity(0))


def lay_out(global_batch: int, machine: Machine, n_gpus: int, n_cores: int) -> Layout:
    """The layout that reaches the global batch exactly.

    Without settings in machine.yaml: a rank for each GPU and one row at once, or, on a CPU, as many ranks as cores if
    they divide the batch and each has at least `_CPU_ROWS_A_RANK` rows.

    Args:
        global_batch: rows of a step.
        n_cores: cores for CPU ranks.

    Raises:
        ValueError: there is no such layout; the numbers are in the message.
    """
    ranks = machine.train_ranks or n_gpus or _cpu_ranks(global_batch, n_cores)
    if 0 < n_gpus < ranks:
        raise ValueError(f"train_ranks = {ranks}: this machine has {n_gpus} GPUs")
    micro = machine.train_micro_batch or (1 if n_gpus else _cpu_micro_batch(global_batch // ranks))
    accumulation = global_batch // (ranks * micro)
    if accumulation * ranks * micro != global_batch or accumulation == 0:
        raise ValueError(
            f"a global batch of {global_batch} rows cannot be reached with {ranks} ranks x {micro} rows each:"
            f" {global_batch} / ({ranks} * {micro}) = {global_batch / (ranks * micro):g} accumulation steps"
            " (machine.yaml: train_ranks, train_micro_batch; params.yaml: batch_size)"
        )
    return Layout(ranks, micro, accumulation, machine.zero_stage, gpu=n_gpus > 0)


def _cpu_ranks(global_batch: int, n_cores: int) -> int:
    most = min(n_cores, global_batch // _CPU_ROWS_A_RANK)
    return max((ranks for ranks in range(1, most + 1) if global_batch % ranks == 0), default=1)


def _cpu_micro_batch(rows: int) -> int:
    return max((size for size in range(1, _CPU_MICRO_BATCH + 1) if rows and rows % size == 0), default=1)
