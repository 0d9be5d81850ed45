"""Seconds of a stage on given hardware: the time until its first row, and its operations over the rate of its devices.

training   start + micro-batches * fixed + tokens * operations / (ranks * rate)
           operations a token: 3 times the forward pass's; 4 with checkpointing (GPUs); with LoRA 1 less, since no
           gradient of a frozen weight is taken
scoring    start + tokens * forward / (ranks * rate)
drawing    start + texts * fixed + prompt tokens * forward / rate + decoding steps (`decoding`)
judging    start + answers / (workers * rate)
tables     start + tokens to encode / rate
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vr.plan.hardware import Hardware, Precision, Speed
from vr.plan.shapes import BYTES, Shape
from vr.plan.work import Drawing, Judging, Scoring, Stage, Tables, Training, Work
from vr.settings.machine import Machine

ENCODED = 2.7e6
"""Tokens encoded a second, on 2 cores (tests/benchmarks/README.md)."""
PADDING = 1.15
"""Tokens of a micro-batch of several rows, padding included, to its own: rows of a step go by length."""
OPTIMIZER_BYTES = 60
"""AdamW's own 36 (gradient, weight, two moments, in fp32), and DeepSpeed's copies of gradients and weights."""
Speeds = Callable[[Precision], Speed]


@dataclass(frozen=True)
class Clock:
    """What a stage's seconds depend on, beside its work."""

    shape: Shape
    machine: Machine
    """settled: see `hardware.settled`"""
    hardware: Hardware
    speeds: Speeds

    def threads(self, processes: int = 1) -> int:
        """Compute threads of each of some processes that work together."""
        return 1 if self.hardware.gpu else self.machine.threads_of(self.shape.bytes, processes)

    def seconds(self, work: Work) -> float:
        """Seconds of one stage."""
        if isinstance(work, Training):
            return self.training(work)
        if isinstance(work, Drawing):
            return self.drawing(work)
        if isinstance(work, Scoring):
            return self.scoring(work)
        speed = self.speeds("fp32")
        if isinstance(work, Judging):
            return speed.start["make" if work.made else "check"] + self.judging(work.answers, work.programs)
        return speed.start["score" if work.encoded else "table"] + work.encoded / ENCODED

    def training(self, work: Training) -> float:
        """Seconds of a training."""
        micro_batches = work.steps * work.layout.accumulation
        start = self.speeds(work.precision).start["train"]
        return (
            start
            + micro_batches * self.training_step(work, work.layout.micro_batch)
            + work.steps * self.optimizing(work)
        )

    def optimizing(self, work: Training) -> float:
        """Seconds of the optimizer in one step."""
        return OPTIMIZER_BYTES * work.trained / work.layout.ranks / self.speeds(work.precision).bandwidth

    def training_step(self, work: Training, rows: int) -> float:
        """Seconds of a micro-batch of some rows on each rank."""
        speed = self.speeds(work.precision)
        fixed = speed.train_step + (work.layout.ranks - 1) * speed.rank_step
        share = self.threads(work.layout.ranks) / self.threads()
        return fixed + self.operations(work, rows) / (share * speed.train)

    def operations(self, work: Training, rows: int) -> float:
        """Operations of a micro-batch on one rank."""
        passes = 4 if work.layout.gpu else 3
        if work.trained < self.shape.weights:
            passes -= 1
        tokens = rows * work.row_tokens * (PADDING if rows > 1 else 1)
        return passes * tokens * self.shape.forward(work.row_tokens / 2)

    def scoring(self, work: Scoring) -> float:
        """Seconds of a scoring pass."""
        speed, ranks = self.speeds(work.precision), self.machine.score_ranks or 1
        tokens = work.texts * work.text_tokens
        return speed.start["score"] + tokens * self.shape.forward(work.text_tokens / 2) / (ranks * speed.forward)

    def judging(self, answers: int, programs: float) -> float:
        """Seconds that verifiers take for some answers, of which a share are programs."""
        speed, workers = self.speeds("fp32"), self.machine.verify_workers or 1
        return answers * ((1 - programs) / speed.verdicts + programs / speed.programs) / workers

    def drawing(self, work: Drawing) -> float:
        """Seconds of a sampling stage, and of judging where it judges."""
        speed = self.speeds(work.precision)
        read = work.prompts * work.prompt_tokens * self.shape.forward(work.prompt_tokens / 2)
        prefill = read / (self.engine_devices * speed.forward)
        judging = self.judging(work.texts, work.programs) if work.judged else 0
        return speed.start["sample"] + work.texts * speed.request + prefill + self.decoding(work) + judging

    def decoding(self, work: Drawing) -> float:
        """Seconds of the decoding steps: tokens / batch full ones, and those in which the last texts run out.

        The last text of a batch that was filled up to the end still has its own length to go; where it is one of the
        longest, that is more than the mean.
        """
        batch = self.batch(work)
        full = work.texts * work.text_tokens / batch
        tail = min(work.longest, 2 * work.text_tokens)
        return full * self.step(work, batch) + tail * self.step(work, 1)

    def step(self, work: Drawing, batch: float) -> float:
        """Seconds of one decoding step: the weights are read, or used, whichever takes longer; keys and values too."""
        speed, number = self.speeds(work.precision), BYTES[work.precision]
        context = work.prompt_tokens + work.text_tokens / 2
        weights = self.shape.weights * number / speed.bandwidth
        operations = batch * self.shape.forward(context) / speed.forward
        cache = batch * context * self.shape.kv_bytes(number) / speed.bandwidth
        own = speed.decode_step + batch * self.shape.vocabulary * speed.logit
        return speed.decode * (own + (max(weights, operations) + cache) / self.engine_devices)

    def batch(self, work: Drawing) -> float:
        """Texts in flight: at most max_sequences, and as many as keys and values have room for."""
        context = work.prompt_tokens + work.text_tokens / 2
        room = self.cache_bytes(work) / (context * self.shape.kv_bytes(BYTES[work.precision]))
        return max(1.0, min(self.machine.max_sequences, work.texts, room))

    def cache_bytes(self, work: Drawing) -> float:
        """Bytes for keys and values, of all devices of an engine."""
        if not self.hardware.gpu:
            return float(self.machine.kv_cache_bytes)
        weights = self.shape.weights * BYTES[work.precision]
        return self.engine_devices * self.machine.gpu_memory * self.hardware.memory - weights

    @property
    def engine_devices(self) -> int:
        """GPUs of one vLLM engine; on a CPU it is one process."""
        return (self.machine.tensor_parallel or 1) if self.hardware.gpu else 1

    def cores(self, work: Work) -> int:
        """Cores of a CPU that a stage keeps busy."""
        if isinstance(work, Training):
            return work.layout.ranks * self.threads(work.layout.ranks)
        if isinstance(work, Scoring):
            return (self.machine.score_ranks or 1) * self.threads(self.machine.score_ranks or 1)
        if isinstance(work, Judging):
            return self.machine.verify_workers or 1
        return 1 if isinstance(work, Tables) else self.threads()


def of_run(planned: Sequence[Stage], clock: Clock) -> float:
    """Seconds of a run by `make repro`: in each phase as long as its longest stage, as all stages take `stages_at_once`
    at a time, or as they need of the cores, whichever is more. On GPUs it is the sum."""
    total = 0.0
    at_once = clock.machine.at_once
    for phase in sorted({stage.phase for stage in planned}):
        here = [(stage, clock.seconds(stage.work)) for stage in planned if stage.phase == phase]
        summed = sum(stage.times * seconds for stage, seconds in here)
        used = sum(stage.times * seconds * clock.cores(stage.work) for stage, seconds in here)
        busy = 0.0 if clock.hardware.gpu else used / clock.hardware.cores
        total += max(max(seconds for _, seconds in here), summed / at_once, busy)
    return total
