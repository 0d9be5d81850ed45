"""How a global batch is spread over processes, micro-batches and accumulation steps. What is learnt does not change."""

from dataclasses import dataclass
from pathlib import Path

from vr.settings.machine import SMALL_MODEL_BYTES, Machine

_CPU_MICRO_BATCH = 64  # rows at most that a CPU rank takes at once
_CPU_TOKENS = 2048  # and tokens, for a large model: SmolLM2-135M keeps 3 MB of activations a token in float32
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


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor itself calculates in bf16 (x86: AVX-512, AMX; ARM: bf16); where not, torch emulates it."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(cpuinfo.read_text().split())


def most_rows(weight_bytes: int, cutoff_len: int) -> int:
    """Rows that a CPU rank takes at once, at most, so that the activations of a large model stay in memory."""
    return _CPU_MICRO_BATCH if weight_bytes <= SMALL_MODEL_BYTES else max(1, _CPU_TOKENS // cutoff_len)


def lay_out(
    global_batch: int, machine: Machine, n_gpus: int, n_cores: int, most_rows: int = _CPU_MICRO_BATCH
) -> Layout:
    """The layout that reaches the global batch exactly.

    Without settings in machine.yaml: a rank for each GPU and one row at once, or, on a CPU, as many ranks as cores if
    they divide the batch and each has at least `_CPU_ROWS_A_RANK` rows.

    Args:
        global_batch: rows of a step.
        n_cores: cores for CPU ranks.
        most_rows: that a CPU rank takes at once if machine.yaml does not say how many.

    Raises:
        ValueError: there is no such layout; the numbers are in the message.
    """
    ranks = machine.train_ranks or n_gpus or _cpu_ranks(global_batch, n_cores)
    if 0 < n_gpus < ranks:
        raise ValueError(f"train_ranks = {ranks}: this machine has {n_gpus} GPUs")
    micro = machine.train_micro_batch or (1 if n_gpus else _cpu_micro_batch(global_batch // ranks, most_rows))
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


def _cpu_micro_batch(rows: int, most: int) -> int:
    return max((size for size in range(1, most + 1) if rows and rows % size == 0), default=1)
