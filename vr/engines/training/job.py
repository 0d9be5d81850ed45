"""One training as the worker reads it: a JSON file with LLaMA-Factory's arguments and the loss's denominator."""

import json
import logging
from math import ceil
from pathlib import Path
from typing import Any

from vr.engines.training.checkpoint import is_complete
from vr.engines.training.layout import Layout
from vr.engines.training.training_set import TrainingSetStats
from vr.settings.machine import Machine
from vr.settings.training import Train
from vr.tables.files import atomic_file, remove

log = logging.getLogger(__name__)


def deepspeed_config(zero_stage: int) -> Path:
    """DeepSpeed's configuration for a ZeRO stage, to be read and edited by people."""
    return Path(__file__).with_name("deepspeed") / f"zero{zero_stage}.json"


def write(folder: Path, base: Path, params: Train, stats: TrainingSetStats, layout: Layout, machine: Machine) -> Path:
    """Write the job of the set in `folder/rows`; its model and checkpoints go to `folder/run`.

    Returns:
        `folder/job.json`: `arguments`, LLaMA-Factory's; `denominator`, see `worker.weighted_trainer`; and
        `checkpoint_s`, the seconds between two checkpoints at most.
    """
    constant = stats.normalizer_tokens * layout.batch * stats.weight_mean
    content = {
        "arguments": _arguments(folder, base, params, stats, layout) | {"save_steps": machine.checkpoint_steps},
        "denominator": constant if params.normalizer == "constant" else None,
        "checkpoint_s": 60 * machine.checkpoint_minutes,
    }
    job = folder / "job.json"
    with atomic_file(job) as part:
        part.write_text(json.dumps(content, indent=2))
    return job


def _arguments(folder: Path, base: Path, params: Train, stats: TrainingSetStats, layout: Layout) -> dict[str, Any]:
    run = folder / "run"
    steps = ceil(params.epochs * (stats.rows + stats.padding_rows) / layout.batch)
    arguments = {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": params.method,
        "lora_rank": params.lora.rank,  # read by method lora alone, as the next two
        "lora_alpha": params.lora.alpha,
        "lora_target": "all" if params.lora.targets == "all" else ",".join(params.lora.targets),
        "model_name_or_path": str(base),
        "trust_remote_code": False,
        "flash_attn": "auto",
        "disable_gradient_checkpointing": not layout.gpu,  # checkpointing trades time for memory, with equal results
        "dataset": "rows",  # must be named, is not read
        "tokenized_path": str(folder / "rows"),
        "template": "empty",  # the rows are tokenised already; this template changes no special token
        "cutoff_len": params.cutoff_len,
        "output_dir": str(run),
        "deepspeed": str(deepspeed_config(layout.zero_stage)),
        "per_device_train_batch_size": layout.micro_batch,
        "gradient_accumulation_steps": layout.accumulation,
        "num_train_epochs": params.epochs,
        "learning_rate": params.learning_rate,
        "lr_scheduler_type": params.scheduler,
        "warmup_steps": warmup_steps(params, steps),
        "optim": "adamw_torch",
        "adam_beta1": params.adam_beta1,
        "adam_beta2": params.adam_beta2,
        "adam_epsilon": params.adam_epsilon,
        "weight_decay": params.weight_decay,
        "max_grad_norm": params.max_grad_norm,
        "bf16": params.precision == "bf16",
        "seed": params.seed,
        "data_seed": params.seed,  # without it every rank would shuffle with a seed of its own
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": layout.gpu,
        "logging_steps": 1,  # a spike must not fall between two points of the curves
        "logging_nan_inf_filter": False,  # a NaN must be seen
        "save_strategy": "steps",
        "resume_from_checkpoint": last_checkpoint(run),
        "report_to": "none",
        "plot_loss": False,
    }
    if params.precision == "bf16" and not layout.gpu:
        arguments["use_cpu"] = True  # without it transformers refuses bf16 on a CPU
    return arguments


def warmup_steps(params: Train, steps: int) -> int:
    """Warm-up in whole steps: transformers reads a number below 1 as a ratio, but 1.0 as one step."""
    return 0 if params.scheduler == "constant" else ceil(params.warmup_ratio * steps)


def last_checkpoint(run: Path) -> str | None:
    """The checkpoint to resume from, or None.

    Half-written checkpoints are removed; without any whole one, all of `run` is removed.
    """
    found = list(run.glob("checkpoint-*"))
    whole = [path for path in found if is_complete(path)]
    for path in found:
        if path not in whole:
            remove(path)
    if not whole:
        remove(run)
        return None
    last = max(whole, key=lambda path: int(path.name.rpartition("-")[2]))
    log.info("resuming from %s", last.name)
    return str(last)
