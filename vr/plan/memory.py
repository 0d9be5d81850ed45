"""Bytes that a process of a stage holds at most, on its device: a GPU, or on a CPU the machine's memory.

N weights, of which n are trained; R ranks; z the ZeRO stage; w bytes of a number in the stage's precision; t tokens of
a micro-batch.

    weights       w N, under z = 3 divided by R
    gradients     4 n (added up in fp32), under z >= 2 divided by R
    optimizer     12 n / R (fp32 weights, two moments)
    buffers       DeepSpeed's on GPUs: w * (2 buckets of 5e8 weights), under z = 3 also 1e9 gathered weights
    activations   w t (L H + one layer) with checkpointing (GPUs), w t L layers without (CPUs);
                  a layer: 8 H + (2 A + 2 G) D + 4 I numbers
    logits        2 w t V, and three pieces of at most 2^26 fp32 numbers (vr/engines/training/loss.py)
"""

from dataclasses import dataclass

from vr.engines.scoring.forward import TILES
from vr.engines.training.loss import CHUNK_ELEMENTS
from vr.plan.hours import Clock
from vr.plan.shapes import BYTES, Shape
from vr.plan.work import Drawing, Scoring, Training, Work

_BUCKET, _GATHERED = 5e8, 1e9
"""DeepSpeed's reduce_bucket_size and stage3_max_live_parameters, which zero*.json leave as they are."""
PROCESS = {"torch": 0.5 * 2**30, "vllm": 1.0 * 2**30, "gpu": 2.0 * 2**30}
"""Libraries on a CPU, as measured with the miniature; CUDA's context and NCCL's buffers on a GPU."""


@dataclass(frozen=True)
class Memory:
    """Bytes by what they hold."""

    weights: float
    gradients: float = 0
    optimizer: float = 0
    activations: float = 0
    logits: float = 0
    cache: float = 0
    process: float = 0

    @property
    def total(self) -> float:
        """All of them."""
        return sum(vars(self).values())


def of_work(work: Work, clock: Clock) -> Memory | None:
    """The memory of one process of a stage; None: it holds no model."""
    if isinstance(work, Training):
        return training(work, clock.shape)
    if isinstance(work, Drawing):
        return drawing(work, clock)
    if isinstance(work, Scoring):
        return scoring(work, clock)
    return None


def training(work: Training, shape: Shape) -> Memory:
    """A rank of a training."""
    layout, number = work.layout, BYTES[work.precision]
    ranks, zero = layout.ranks, layout.zero_stage
    buffers = number * (2 * min(shape.weights, _BUCKET) + (min(shape.weights, _GATHERED) if zero == 3 else 0))
    tokens = layout.micro_batch * work.longest
    layer = layer_numbers(shape)
    kept = shape.layers * shape.hidden + layer if layout.gpu else shape.layers * layer
    return Memory(
        weights=number * shape.weights / (ranks if zero == 3 else 1) + (buffers if layout.gpu else 0),
        gradients=4 * work.trained / (ranks if zero >= 2 else 1),
        optimizer=12 * work.trained / ranks,
        activations=number * tokens * kept,
        logits=2 * number * tokens * shape.vocabulary + 3 * 4 * min(tokens * shape.vocabulary, CHUNK_ELEMENTS),
        process=PROCESS["gpu" if layout.gpu else "torch"],
    )


def layer_numbers(shape: Shape) -> int:
    """Numbers that one layer keeps of a token for the backward pass; attention keeps no scores (flash attention)."""
    return 8 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_size + 4 * shape.inner


def scoring(work: Scoring, clock: Clock) -> Memory:
    """A scoring rank: the weights, two layers' activations of a batch, a tile of logits and its exponentials."""
    number, gpu = BYTES[work.precision], clock.hardware.gpu is not None
    shared = (clock.machine.score_ranks or 1) if clock.machine.score_zero3 else 1
    tokens = max(clock.machine.score_tokens or 0, work.text_tokens)
    positions, vocabulary = TILES["cuda" if gpu else "cpu"]
    return Memory(
        weights=number * clock.shape.weights / shared,
        activations=2 * number * tokens * layer_numbers(clock.shape),
        logits=3 * 4 * positions * min(vocabulary, clock.shape.vocabulary),
        process=PROCESS["gpu" if gpu else "torch"],
    )


def drawing(work: Drawing, clock: Clock) -> Memory:
    """A device of a vLLM engine: on a GPU it takes `gpu_memory` of it, and keys and values have what weights leave."""
    weights = BYTES[work.precision] * clock.shape.weights / clock.engine_devices
    if clock.hardware.gpu:
        share = clock.machine.gpu_memory * clock.hardware.memory
        return Memory(weights=weights, cache=max(share - weights, kv_of_one(work, clock) / clock.engine_devices))
    most = clock.machine.max_sequences * clock.shape.positions * clock.shape.kv_bytes(BYTES[work.precision])
    logits = 3 * 4 * min(clock.machine.max_sequences, work.texts) * clock.shape.vocabulary
    cache = min(clock.machine.kv_cache_bytes, most)
    return Memory(weights=weights, cache=cache, logits=logits, process=PROCESS["vllm"])


def kv_of_one(work: Drawing, clock: Clock) -> float:
    """Bytes of keys and values of one text as long as it may get."""
    tokens = min(work.prompt_tokens + work.longest, clock.shape.positions)
    return tokens * clock.shape.kv_bytes(BYTES[work.precision])
