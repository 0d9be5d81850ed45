"""A machine, and how fast it works: published and assumed figures, each with its source; `probe` measures instead.

A device is a GPU, or on a CPU one process with its compute threads.
"""

import os
from dataclasses import dataclass, replace
from typing import Literal

import psutil

from vr.engines.scoring.scorer import token_budget
from vr.engines.training.layout import has_bf16
from vr.settings.machine import Machine, cores, gpus

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Gpu:
    """What its maker's data sheet says: operations a second without sparsity, bytes a second, bytes."""

    bf16: float
    fp32: float
    bandwidth: float
    memory: float


GPUS = {
    "h200": Gpu(989e12, 67e12, 4.8e12, 141e9),
    "h100": Gpu(989e12, 67e12, 3.35e12, 80e9),
    "a100": Gpu(312e12, 19.5e12, 2.04e12, 80e9),
    "l40s": Gpu(362e12, 91.6e12, 0.864e12, 48e9),
    "4090": Gpu(165e12, 82.6e12, 1.01e12, 24e9),
}
"""NVIDIA's data sheets (SXM variants of 80 GB and more); `--gpu` takes these names."""


@dataclass(frozen=True)
class Hardware:
    """The machine that is planned for."""

    gpu: str | None
    """a name of GPUS; None: a CPU"""
    gpus: int
    cores: int
    memory: float
    """bytes of one GPU, or of the whole machine"""

    @property
    def name(self) -> str:
        return f"{self.gpus} x {self.gpu}" if self.gpu else f"{self.cores} CPU cores"


@dataclass(frozen=True)
class Speed:
    """How fast one device works in one precision. Rates are what remains after all waiting, not peaks."""

    train: float
    """operations a second, forward and backward"""
    forward: float
    """operations a second"""
    bandwidth: float
    """bytes a second, of weights and keys and values in decoding"""
    train_step: float
    """seconds a micro-batch takes beside its operations"""
    rank_step: float
    """seconds more of it for each further rank"""
    decode_step: float
    """seconds that a token for the whole batch takes beside operations and reading"""
    logit: float
    """seconds to draw a token, for each entry of the vocabulary"""
    request: float
    """seconds to take a text in and hand it on"""
    verdicts: float
    """mathematical answers judged a second, by one process: the miniature's; a long formula takes more"""
    programs: float
    """programs judged a second, by one process: the miniature's; tests that compute take more"""
    start: dict[str, float]
    """seconds until the first row, by kind of stage: train | score | sample | make (questions) | check | table"""
    decode: float
    """seconds of a decoding step to those that follow from the rates above"""
    source: dict[str, str]
    """where a rate comes from: train, forward, decode"""


_CPU_FLOPS = {"fp32": 65e9, "bf16": 107e9}
"""Of one of several threads: SmolLM2-135M on 2 threads of a cloud machine with AMX, forward 485 and 792 tokens a
second. A process of one thread makes 1.5 times as many."""
_ALONE = 1.5
_CPU_START = {"train": 15.0, "score": 6.0, "sample": 11.5, "make": 6.0, "check": 3.0, "table": 1.5}
"""Imports and the engine's start, medians of two runs of the miniature on 2 cores."""
_GPU_START = {"train": 90.0, "score": 40.0, "sample": 90.0, "make": 6.0, "check": 3.0, "table": 1.5}
"""Assumed: weights are read, vLLM compiles and records its graphs."""
_MFU = 0.4
"""Share of a GPU's peak in training and scoring: Llama 3 reports 38 to 43 % on H100 (arXiv 2407.21783, Table 4)."""
_BANDWIDTH_SHARE = 0.8
"""Share of a GPU's bandwidth in decoding: with it Qwen3-8B writes 3,110 tokens a second on an H100 at outputs of 8,000
tokens; the ML.ENERGY leaderboard measured 3,117 with vLLM."""


def here() -> Hardware:
    """This machine.

    Raises:
        ValueError: its GPU is not in GPUS.
    """
    if n := gpus():
        import torch

        name = torch.cuda.get_device_name(0)
        return of_gpus(next((known for known in GPUS if known in name.lower()), name), n)
    return Hardware(None, 0, cores(), float(psutil.virtual_memory().total))


def of_gpus(name: str, n: int) -> Hardware:
    """A machine with n GPUs of one kind.

    Raises:
        ValueError: the kind is unknown.
    """
    if name.lower() not in GPUS:
        raise ValueError(f"--gpu {name}: not known (there are: {', '.join(GPUS)}; name the one that is most like it)")
    return Hardware(name.lower(), n, os.cpu_count() or 1, GPUS[name.lower()].memory)


def speed(hardware: Hardware, precision: Precision, threads: int) -> Speed:
    """What is assumed of one device.

    Args:
        threads: compute threads of a process, on a CPU.
    """
    if hardware.gpu:
        gpu = GPUS[hardware.gpu]
        rate = _MFU * (gpu.bf16 if precision == "bf16" else gpu.fp32)
        words = f"{_MFU:.0%} of {hardware.gpu}'s {precision} peak (arXiv 2407.21783)"
        decode = f"{_BANDWIDTH_SHARE:.0%} of {hardware.gpu}'s bandwidth (ML.ENERGY), or {words}"
        return Speed(
            train=rate, forward=rate, bandwidth=_BANDWIDTH_SHARE * gpu.bandwidth,
            train_step=0.05,
            rank_step=0.0, decode_step=0.002, logit=0.0, request=1e-4,
            verdicts=600, programs=120, start=_GPU_START, decode=1.0,
            source={"train": words, "forward": words, "decode": decode},
        )  # fmt: skip
    native = precision if has_bf16() else "fp32"  # emulated, bf16 is no faster
    rate = _CPU_FLOPS[native] * (threads if threads > 1 else _ALONE)
    words = f"{rate / 1e9:.0f} GFLOP/s of {threads} threads in {precision} (SmolLM2 on a cloud machine)"
    return Speed(
        train=0.92 * rate,  # 148 tokens a second, where the forward pass alone makes 485
        forward=rate,
        bandwidth=15e9,
        train_step=0.05,  # DeepSpeed's and the trainer's own
        rank_step=0.02,  # gloo's all-reduce
        decode_step=0.008,
        logit=5e-8,  # each text has a random stream of its own: 2.5 ms a token for 49,152 entries
        request=1.2e-3,
        verdicts=600, programs=120, start=_CPU_START, decode=1.0,
        source={"train": words, "forward": words, "decode": f"{words}, and 50 ns a token and entry of the vocabulary"},
    )  # fmt: skip


def precision_of(name: str, trained: Precision) -> Precision:
    """vLLM's `precision` as ours: its auto computes float32 weights in bfloat16."""
    return {"float32": "fp32", "bfloat16": "bf16"}.get(name, "bf16" if trained == "fp32" else trained)  # type: ignore[return-value]


def settled(machine: Machine, hardware: Hardware) -> Machine:
    """machine.yaml with what the engines would find out on this hardware in place of what it leaves out."""
    n = hardware.gpus
    return machine.model_copy(
        update={
            "tensor_parallel": machine.tensor_parallel or max(1, n),
            "score_ranks": machine.score_ranks or max(1, n),
            "verify_workers": machine.verify_workers or hardware.cores,
            "score_tokens": token_budget(machine, n),
            "stages_at_once": machine.at_once_on(n, hardware.cores),
        }
    )


def measured(assumed: Speed, *, start: dict[str, float], **found: float) -> Speed:
    """The assumed speed with measured figures in place of some.

    Args:
        found: train, train_step, forward or decode.
    """
    source = assumed.source | {name.removesuffix("_step"): "measured here" for name in found}
    return replace(assumed, start=start, source=source, **found)
