"""One training process (a rank): LLaMA-Factory's own supervised training, with this project's loss.

Started by vr/training.py as `python -m vr.training_worker JOB`, JOB a JSON file: `arguments`, LLaMA-Factory's, and
`denominator`, see `weighted_trainer`. Needs the rank variables that torch.distributed reads. Everything but the loss
and the bookkeeping of checkpoints is LLaMA-Factory, transformers and DeepSpeed as they are.
B rows, T tokens, V vocabulary.
"""

import json
import os
import shutil
import sys
import threading
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vr.engines.training.training_set import IGNORED

COMPLETE = "complete"
"""The file whose presence says that a checkpoint was written to its end by every rank."""
CHUNK_ELEMENTS = 1 << 26
"""Logits that are held in fp32 at once: 256 MiB, against 20 GB for 32,768 tokens of Qwen's 151,936."""


def weighted_nll(logits_BTV: torch.Tensor, labels_BT: torch.Tensor, weights_B: torch.Tensor) -> torch.Tensor:
    """sum_i w_i nll_i, nats, fp32: nll_i summed over the tokens of row i whose label is not `IGNORED`.

    The logits at t predict the label at t + 1. The log-softmax is taken in fp32, in chunks of tokens that are
    recomputed in the backward pass where there is more than one.
    """
    targets_N = functional.pad(labels_BT[:, 1:], (0, 1), value=IGNORED).reshape(-1)
    weights_N = weights_B.float().repeat_interleave(labels_BT.shape[1])
    logits_NV = logits_BTV.reshape(-1, logits_BTV.shape[-1])
    chunk = max(1, CHUNK_ELEMENTS // logits_NV.shape[1])
    pieces = list(zip(*(tensor.split(chunk) for tensor in (logits_NV, targets_N, weights_N)), strict=True))
    if len(pieces) == 1:
        return _weighted_nll(*pieces[0])
    return torch.stack([checkpoint(_weighted_nll, *piece, use_reentrant=False) for piece in pieces]).sum()


def _weighted_nll(logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor) -> torch.Tensor:
    nll_N = functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="none")
    return (nll_N * weights_N).sum()


def weighted_tokens(labels_BT: torch.Tensor, weights_B: torch.Tensor) -> torch.Tensor:
    """sum_i w_i tokens_i: what `weighted_nll` sums over, float64."""
    return (labels_BT[:, 1:].ne(IGNORED).sum(dim=1) * weights_B.double()).sum()


class _WeightsAsBits:
    """A collator that carries each row's weight as the bits of a float64.

    LLaMA-Factory's collator and transformers' `_prepare_input` cast every float of a batch to the training precision:
    in bf16 a weight of 0.3 would become 0.30078. Integers are left alone.
    """

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        weights = [feature.pop("weight") for feature in features]
        batch = self.collate(features)
        batch["weight"] = torch.tensor(weights, dtype=torch.float64).view(torch.int64)
        return batch


def weighted_trainer(base: type, denominator: float | None) -> type:
    """LLaMA-Factory's trainer class `base` with the loss of the method (App. C).

    The loss of a step is sum_i w_i nll_i / D over the rows of all ranks and accumulation steps.
    constant (Dr. SFT): D = `denominator` = C * B * w_mean. token_mean: `denominator` is None and D = sum_i w_i tokens_i
    of the step.

    Why it is exact: transformers fetches all micro-batches of a step before the first backward pass and asks
    `_get_num_items_in_batch` for D, once. Micro-batch gradients are added up (DeepSpeed's division by the
    accumulation steps is switched off by transformers), rank gradients are averaged: so the world size
    multiplies each term. The same holds for the logged loss, which is summed and averaged likewise.
    """

    class WeightedTrainer(base):
        def __init__(self, *args: Any, data_collator: Any, **kwargs: Any) -> None:
            super().__init__(*args, data_collator=_WeightsAsBits(data_collator), **kwargs)
            # True: the loss is divided by the step's D alone, not by the number of accumulation steps as well.
            self.model_accepts_loss_kwargs = True
            self.add_callback(_checkpoint_bookkeeping())

        def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> torch.Tensor:
            if denominator is not None:
                return torch.tensor(denominator, device=device)
            counts = [weighted_tokens(batch["labels"], _weights(batch["weight"])) for batch in batch_samples]
            total = self.accelerator.gather(torch.stack(counts).sum().to(device)).sum()
            # A step of padding rows alone has nothing to learn: 0 / 1, not 0 / 0.
            return torch.where(total > 0, total, 1.0)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: torch.Tensor | None = None,
        ) -> Any:
            labels, weights = inputs.pop("labels"), _weights(inputs.pop("weight"))
            outputs = model(**inputs, use_cache=False)
            loss = weighted_nll(outputs.logits, labels, weights) * self.accelerator.num_processes
            loss = loss / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            # A checkpoint's weights are in DeepSpeed's own files; a second copy would only cost time and space.
            if not _internal_call:
                super().save_model(output_dir)

        def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
            # DeepSpeed hands tied weights over as separate copies, which would be written twice.
            if state_dict and self.model.config.tie_word_embeddings:
                for name in self.model.all_tied_weights_keys:
                    state_dict.pop(name, None)
            super()._save(output_dir, state_dict)

    return WeightedTrainer


def _weights(bits: torch.Tensor) -> torch.Tensor:
    return bits.view(torch.float64)


def _checkpoint_bookkeeping() -> Any:
    from transformers import TrainerCallback

    class CheckpointBookkeeping(TrainerCallback):
        """Marks a whole checkpoint, and only then removes the one before it; none at the end, where the model is."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step >= state.max_steps:
                control.should_save = False

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            torch.distributed.barrier()  # until then another rank may still be writing
            if state.is_world_process_zero:
                here = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                (here / COMPLETE).touch()
                for other in here.parent.glob("checkpoint-*"):
                    if other != here:
                        shutil.rmtree(other)

    return CheckpointBookkeeping()


def _stand_in_for_torchaudio() -> None:
    """llamafactory imports torchaudio, which training on text never uses and a CPU install does not have."""
    if find_spec("torchaudio") is None:
        module = ModuleType("torchaudio")
        module.__spec__ = ModuleSpec("torchaudio", loader=None)
        sys.modules["torchaudio"] = module


def _end_with_parent() -> None:
    """End when standard input does: the parent holds its other end, so a killed parent leaves no orphan writing."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _compile_nothing() -> None:
    """Keep DeepSpeed on CPU from compiling its all-reduce for inference: a minute, and a C++ compiler is needed."""
    if os.environ.get("DS_ACCELERATOR") == "cpu":
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def main(job: dict[str, Any]) -> None:
    """Train as `job` says; the model ends up in `arguments.output_dir`."""
    _stand_in_for_torchaudio()
    _compile_nothing()
    if job["arguments"].get("use_cpu"):
        import deepspeed

        # With use_cpu, transformers reads the world size before it sets the ranks up.
        deepspeed.init_distributed(dist_backend="gloo")
    from llamafactory.train.sft import workflow
    from llamafactory.train.tuner import run_exp

    workflow.CustomSeq2SeqTrainer = weighted_trainer(workflow.CustomSeq2SeqTrainer, job["denominator"])
    run_exp(job["arguments"])


if __name__ == "__main__":
    _end_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
