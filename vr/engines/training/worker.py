"""One training process (a rank): LLaMA-Factory's supervised training with this project's loss.

Run by launch.py as `python -m vr.engines.training.worker JOB PARENT`: JOB is the file that job.py writes, PARENT the
process id of the caller, with which this process ends. The rank variables that torch.distributed reads must be set.
Everything but the loss, the batches, and the bookkeeping of checkpoints is LLaMA-Factory, transformers and DeepSpeed.
"""

import json
import os
import shutil
import sys
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from vr.engines.training.batches import ByLength, Rows, collate, weights_of
from vr.engines.training.checkpoint import mark_complete
from vr.engines.training.loss import IGNORED, logits_at, next_tokens, weighted_nll, weighted_tokens
from vr.execution.processes import end_with_parent

_NOT_NEEDED = ("matplotlib", "scipy")
"""Modules that the libraries import if they can, that training does not use, and that take long to import."""


def weighted_trainer(base: type, denominator: float | None, checkpoint_s: float) -> type:
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
        def __init__(self, *args: Any, data_collator: Any, train_dataset: Any, **kwargs: Any) -> None:  # noqa: ARG002
            # LLaMA-Factory does so with the weights that are trained, not with those that have adapters beside them.
            if not kwargs["args"].bf16:
                kwargs["model"].float()
            super().__init__(*args, data_collator=collate, train_dataset=Rows(train_dataset.data), **kwargs)
            # True: the loss is divided by the step's D alone, not by the number of accumulation steps as well.
            self.model_accepts_loss_kwargs = True
            for callback in _without_printing(self):
                self.add_callback(callback)
            self.add_callback(_checkpoint_bookkeeping(checkpoint_s))

        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            ranks, micro_batch = self.accelerator.num_processes, self.args.per_device_train_batch_size
            step = ranks * micro_batch * self.args.gradient_accumulation_steps
            lengths = self.train_dataset.lengths
            rows = ByLength(loader.get_sampler(), lengths, ranks=ranks, micro_batch=micro_batch, step=step)
            loader.set_sampler(rows)
            return loader

        def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> torch.Tensor:
            if denominator is not None:
                return torch.tensor(denominator, device=device)
            counts = [weighted_tokens(batch["labels"], weights_of(batch["weight"])) for batch in batch_samples]
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
            targets_BT, weights_B = next_tokens(inputs.pop("labels")), weights_of(inputs.pop("weight"))
            chosen_BT = targets_BT.ne(IGNORED) & weights_B.gt(0)[:, None]
            with logits_at(self.model.get_output_embeddings(), chosen_BT):
                outputs = model(**inputs, use_cache=False)
            weights_N = weights_B[:, None].expand_as(targets_BT)[chosen_BT]
            loss = weighted_nll(outputs.logits, targets_BT[chosen_BT], weights_N) * self.accelerator.num_processes
            loss = loss / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

        # Nobody reads the count of operations, which would take a few percent of a small model's step.

        def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002
            return 0

        def store_flos(self) -> None:
            pass

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


def _without_printing(trainer: Any) -> list[Any]:
    """Take away the callbacks that print or write every logged step; what takes their place."""
    from llamafactory.train.callbacks import LogCallback
    from transformers import PrinterCallback, ProgressCallback

    class Progress(ProgressCallback):
        """The progress bar, with the last loss in it instead of a printed line for every step; an end at NaN."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            # with NaN in its weights a model learns nothing more: better now than at the end
            if not all(isfinite(logs.get(name, 0)) for name in ("loss", "grad_norm")):
                said = f"loss {logs.get('loss')}, gradient norm {logs.get('grad_norm')}"
                sys.exit(f"step {state.global_step}: the training has diverged: {said}")
            if self.training_bar is not None and "loss" in logs:
                self.training_bar.set_postfix(loss=f"{logs['loss']:.4g}", refresh=False)

    for callback in (LogCallback, PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return [Progress()]


def _checkpoint_bookkeeping(checkpoint_s: float) -> Any:
    """Args: checkpoint_s: seconds after which a checkpoint is saved before its step comes."""
    from transformers import TrainerCallback

    class CheckpointBookkeeping(TrainerCallback):
        """Marks a whole checkpoint, and only then removes the one before it; none at the end, where the model is."""

        saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            is_due = torch.tensor(time.monotonic() > self.saved + checkpoint_s, device=args.device)
            torch.distributed.broadcast(is_due, 0)  # all ranks save, or none
            control.should_save = (control.should_save or bool(is_due)) and state.global_step < state.max_steps

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            torch.distributed.barrier()  # until then another rank may still be writing
            if state.is_world_process_zero:
                here = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                mark_complete(here)
                for other in here.parent.glob("checkpoint-*"):
                    if other != here:
                        shutil.rmtree(other)
            self.saved = time.monotonic()

    return CheckpointBookkeeping()


def prepare_imports() -> None:
    """Make the libraries importable, and import fast, on any machine; must run before them."""
    for name in _NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment]  # to the libraries: not installed
    if find_spec("torchaudio") is None:
        # llamafactory imports it, which training on text never uses and a CPU install does not have.
        _stand_in("torchaudio")
    # DeepSpeed asks every optimizer whether it is Muon; importing Muon itself would load torch's compiler.
    _stand_in("deepspeed.runtime.zero.muon.muon_optimizer", MuonWithAuxAdam=type("MuonWithAuxAdam", (), {}))
    _stand_in("deepspeed.runtime.zero.muon.original_muon", muon_update=None)
    if os.environ.get("DS_ACCELERATOR") == "cpu":
        import deepspeed

        # DeepSpeed would compile its all-reduce for inference, which takes a minute and needs a C++ compiler.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _stand_in(name: str, **content: Any) -> None:
    """Put a module of that name with nothing else in it where imports look first."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)
    module.__dict__.update(content)
    sys.modules[name] = module


def main(job: dict[str, Any]) -> None:
    """Train as `job` says; the model ends up in `arguments.output_dir`."""
    prepare_imports()
    if job["arguments"].get("use_cpu"):
        import deepspeed

        # With use_cpu, transformers reads the world size before it sets the ranks up.
        deepspeed.init_distributed(dist_backend="gloo")
    from llamafactory.train.sft import workflow
    from llamafactory.train.tuner import run_exp

    workflow.CustomSeq2SeqTrainer = weighted_trainer(
        workflow.CustomSeq2SeqTrainer, job["denominator"], job["checkpoint_s"]
    )
    run_exp(job["arguments"])


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    main(json.loads(Path(sys.argv[1]).read_text()))
