"""Supervised training of one model: rows in, a model directory out.

LLaMA-Factory trains all parameters under DeepSpeed, in processes of its own (vr/training_worker.py); this module
prepares the set, lays the global batch out over ranks, starts and watches the processes, resumes after a kill and
hands the model over. It knows no stage and no params.yaml, and trains on one node.
"""

import json
import os
import shutil
import subprocess
import sys
from array import array
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from logging import getLogger
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl

from vr.engines.training import training_set
from vr.engines.training.training_set import Statistics, WeightedRow
from vr.execution import work_folder
from vr.settings.machine import Machine, free_port, gpus
from vr.settings.params import Train
from vr.tables.files import atomic_file

log = getLogger(__name__)

_WORKER = Path(__file__).with_name("worker.py")
_KEPT_FILES = (
    *("config.json", "generation_config.json", "chat_template.jinja", "chat_template.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""What a trained model takes over from its base unchanged (config.json but for the number type)."""
_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
_TAIL_LINES = 25


@dataclass(frozen=True)
class Training:
    """What a training leaves beside the model."""

    statistics: Statistics
    curves: pl.DataFrame
    """see `curves`"""

    def write(self, statistics: Path, curves: Path) -> None:
        """Write both as CSV: one row of statistics, a row per logged step.

        Raises:
            OSError: a file cannot be written.
        """
        for frame, path in ((pl.DataFrame([asdict(self.statistics)]), statistics), (self.curves, curves)):
            with atomic_file(path) as part:
                frame.write_csv(part)


@dataclass(frozen=True)
class Layout:
    """How a global batch is spread: ranks * micro_batch * accumulation rows a step."""

    ranks: int
    micro_batch: int
    accumulation: int
    zero_stage: int
    gpu: bool


def lay_out(global_batch: int, machine: Machine, n_gpus: int) -> Layout:
    """The layout that reaches the global batch exactly.

    Raises:
        ValueError: there is none; the numbers are in the message.
    """
    ranks = machine.train_ranks or n_gpus or 1
    if 0 < n_gpus < ranks:
        raise ValueError(f"train_ranks = {ranks}: this machine has {n_gpus} GPUs")
    share = global_batch // ranks
    if machine.train_micro_batch:
        micro = machine.train_micro_batch
    elif n_gpus:
        micro = 1
    else:
        micro = max((size for size in range(1, 65) if share and share % size == 0), default=1)
    accumulation = global_batch // (ranks * micro)
    if accumulation * ranks * micro != global_batch or accumulation == 0:
        raise ValueError(
            f"a global batch of {global_batch} rows cannot be reached with {ranks} ranks x {micro} rows each:"
            f" {global_batch} / ({ranks} * {micro}) = {global_batch / (ranks * micro):g} accumulation steps"
            " (machine.yaml: train_ranks, train_micro_batch; params.yaml: batch_size)"
        )
    return Layout(ranks, micro, accumulation, machine.zero_stage, gpu=n_gpus > 0)


def train(
    rows: Iterable[WeightedRow],
    base: Path,
    out: Path,
    *,
    params: Train,
    rows_per_question: int,
    machine: Machine,
    work_root: Path,
) -> Training:
    """Fine-tune the model in `base` on `rows` and put the result in `out`.

    A step takes `params.batch_size * rows_per_question` rows (2 with mix, K when weighted, else 1), so that steps
    stay equal whatever the rows per question (App. C.3). An interrupted training is taken up again from its last
    checkpoint under `work_root`, if rows, base, params and layout are still the same.

    `out` gets config, safetensors (in the precision of training), tokenizer and generation config, and nothing else;
    it appears whole or not at all.

    Raises:
        FileNotFoundError: no model in `base`.
        ValueError: the batch cannot be laid out on this machine; the rows leave nothing to train on.
        RuntimeError: the training processes failed (the last lines that they wrote are in the message), or another
            process trains the same model.
        OSError: the disk is full.
    """
    base, out, work_root = base.resolve(), out.resolve(), work_root.resolve()
    _check_model(base)
    layout = lay_out(params.batch_size * rows_per_question, machine, gpus())
    settings = {name: value for name, value in params.model_dump().items() if name in Train.model_fields}
    key = work_folder.fingerprint(base, settings, rows_per_question, asdict(layout), _WORKER)
    with work_folder.folder(work_root, f"train-{out.name}", key) as folder:
        statistics = _prepare_rows(rows, folder, params.cutoff_len, params.batch_size * rows_per_question)
        log.info(
            "%s: %d rows (%d cut off, %d of padding), C = %.2f tokens, %s",
            out.name,
            statistics.rows,
            statistics.rows_truncated,
            statistics.padding_rows,
            statistics.normalizer_tokens,
            layout,
        )
        state = folder / "run" / "trainer_state.json"  # the worker writes it last
        if not state.is_file():
            job = _job(folder, base, params, statistics, layout, machine.checkpoint_steps)
            _run(job, layout, machine.threads)
        result = Training(statistics, curves(state))
        _publish(folder / "run", base, out, _DTYPES[params.precision])
        return result


def curves(trainer_state: Path) -> pl.DataFrame:
    """Training curves: step, epoch, loss (mean since the point before), grad_norm (before clipping), learning_rate."""
    history = json.loads(trainer_state.read_text())["log_history"]
    schema = {
        "step": pl.Int64,
        "epoch": pl.Float64,
        "loss": pl.Float64,
        "grad_norm": pl.Float64,
        "learning_rate": pl.Float64,
    }
    points = [{name: point.get(name) for name in schema} for point in history if "loss" in point]
    return pl.DataFrame(points, schema=schema)


def _check_model(base: Path) -> None:
    wanted = {"config.json": "config.json", "tokenizer*": "a tokenizer", "*.safetensors": "weights (safetensors)"}
    for pattern, what in wanted.items():
        if not any(base.glob(pattern)):
            raise FileNotFoundError(f"{base}: no such model (no {what} there)")


def _prepare_rows(rows: Iterable[WeightedRow], folder: Path, cutoff_len: int, multiple_of: int) -> Statistics:
    """Save the set as `folder/rows`; where it is not the set of the interrupted run, forget that run."""
    digest, part, kept = sha256(), folder / "rows.part", folder / "rows"
    shutil.rmtree(part, ignore_errors=True)
    try:
        statistics = training_set.save(_hashed(rows, digest), part, cutoff_len=cutoff_len, multiple_of=multiple_of)
    except OSError as error:  # a full disk: pyarrow's own message names no path
        raise OSError(f"{part}: cannot be written: {error}") from error
    mark = folder / "rows.sha256"
    if kept.is_dir() and mark.is_file() and mark.read_text() == digest.hexdigest():
        shutil.rmtree(part)
        return statistics
    mark.unlink(missing_ok=True)
    for stale in (kept, folder / "run"):
        shutil.rmtree(stale, ignore_errors=True)
    part.rename(kept)
    mark.write_text(digest.hexdigest())
    return statistics


def _hashed(rows: Iterable[WeightedRow], digest: Any) -> Iterator[WeightedRow]:
    for item in rows:
        digest.update(repr((len(item.row.ids), item.row.trained_from, item.weight)).encode())
        digest.update(array("q", item.row.ids).tobytes())
        yield item


def _job(folder: Path, base: Path, params: Train, statistics: Statistics, layout: Layout, every: int) -> Path:
    """Write the worker's JSON and DeepSpeed's; the path of the first."""
    batch = layout.ranks * layout.micro_batch * layout.accumulation
    steps = ceil(params.epochs * (statistics.rows + statistics.padding_rows) / batch)
    run, deepspeed = folder / "run", folder / "deepspeed.json"
    deepspeed.write_text(json.dumps(_deepspeed(params, layout, batch), indent=2))
    arguments = {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": str(base),
        "trust_remote_code": False,
        "flash_attn": "auto",
        "disable_gradient_checkpointing": not layout.gpu,  # memory for time; the same results
        "dataset": "rows",  # has to be named, is not read
        "tokenized_path": str(folder / "rows"),
        "template": "empty",  # the rows are tokenised; this one changes no special token
        "cutoff_len": params.cutoff_len,
        "output_dir": str(run),
        "deepspeed": str(deepspeed),
        "per_device_train_batch_size": layout.micro_batch,
        "gradient_accumulation_steps": layout.accumulation,
        "num_train_epochs": params.epochs,
        "learning_rate": params.learning_rate,
        "lr_scheduler_type": params.scheduler,
        "warmup_steps": _warmup_steps(params, steps),
        "optim": "adamw_torch",
        "adam_beta1": params.adam_beta1,
        "adam_beta2": params.adam_beta2,
        "adam_epsilon": params.adam_epsilon,
        "weight_decay": params.weight_decay,
        "max_grad_norm": params.max_grad_norm,
        "bf16": params.precision == "bf16",
        "seed": params.seed,
        "data_seed": params.seed,  # else every rank would shuffle by a seed of its own
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": layout.gpu,
        "logging_steps": max(1, min(10, steps // 50)),
        "logging_nan_inf_filter": False,  # a NaN has to be seen
        "save_strategy": "steps",
        "save_steps": every,
        "resume_from_checkpoint": _last_checkpoint(run),
        "report_to": "none",
        "plot_loss": False,
    }
    if params.precision == "bf16" and not layout.gpu:
        arguments["use_cpu"] = True  # transformers refuses bf16 without a GPU unless told so
    constant = statistics.normalizer_tokens * batch * statistics.weight_mean
    job = folder / "job.json"
    denominator = constant if params.normalizer == "constant" else None
    job.write_text(json.dumps({"arguments": arguments, "denominator": denominator}, indent=2))
    return job


def _warmup_steps(params: Train, steps: int) -> int:
    # A number of steps: transformers reads a number below 1 as a ratio, but 1.0 as one step.
    return 0 if params.scheduler == "constant" else ceil(params.warmup_ratio * steps)


def _deepspeed(params: Train, layout: Layout, batch: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "train_batch_size": batch,
        "train_micro_batch_size_per_gpu": layout.micro_batch,
        "gradient_accumulation_steps": layout.accumulation,
        "gradient_clipping": params.max_grad_norm,
        "zero_allow_untested_optimizer": True,  # torch's AdamW, so that nothing is compiled
        "bf16": {"enabled": params.precision == "bf16"},
        # Stage 0 keeps no fp32 weights beside bf16 ones, and how it runs must not change what comes out.
        "zero_optimization": {"stage": max(1, layout.zero_stage)},
    }
    if layout.zero_stage == 3:
        config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    if params.precision == "bf16":
        # Gradients of many micro-batches added up in bf16 would depend on how many there are.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def _last_checkpoint(run: Path) -> str | None:
    """The checkpoint to go on from. Half-written ones are removed, and all of `run` where there is no whole one."""
    whole = [path.parent for path in run.glob("checkpoint-*/complete")]
    for path in run.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path)
    if not whole:
        shutil.rmtree(run, ignore_errors=True)
        return None
    last = max(whole, key=lambda path: int(path.name.rpartition("-")[2]))
    log.info("going on from %s", last.name)
    return str(last)


def _run(job: Path, layout: Layout, threads: int) -> None:
    """Run the worker processes to their end, passing on what they write."""
    command = ["-m", "vr.engines.training.worker", str(job)]
    if layout.ranks > 1:
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={layout.ranks}", *command]
    # Their standard input stays open as long as this process lives: how they learn that it was killed.
    with subprocess.Popen(
        [sys.executable, *command],
        env=_environment(layout, threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        tail, decoder = "", getincrementaldecoder("utf-8")(errors="replace")
        while chunk := os.read(process.stdout.fileno(), 1 << 16):  # not by lines: a progress bar has none
            text = decoder.decode(chunk)
            tail = (tail + text)[-(1 << 16) :]
            sys.stderr.write(text)
            sys.stderr.flush()
        code = process.wait()
    if code != 0:
        lines = tail.replace("\r", "\n").strip().splitlines()[-_TAIL_LINES:]
        free = shutil.disk_usage(job.parent).free / 1e6
        # torch's own message for a full disk does not say so.
        full = f" with only {free:.0f} MB free in {job.parent}" if free < 100 else ""
        raise RuntimeError("\n".join([f"training failed (exit status {code}){full}; its last lines:", *lines]))


def _environment(layout: Layout, threads: int) -> dict[str, str]:
    root = str(Path(__file__).parents[3])
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "LLAMAFACTORY_VERBOSITY": os.environ.get("LLAMAFACTORY_VERBOSITY", "WARN"),
    }
    if not layout.gpu:
        env |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": str(threads)}
    if layout.ranks == 1:
        env |= {
            "RANK": "0",
            "WORLD_SIZE": "1",
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
        }
    return env


def _link_or_copy(source: Path, target: Path) -> None:
    # Not moved: if the disk is full, the trained weights are still where the next run looks for them.
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _publish(trained: Path, base: Path, out: Path, dtype: str) -> None:
    """Put trained weights and the base's config and tokenizer together, then move them to `out` in one step."""
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        part.mkdir(parents=True)
        for name in _KEPT_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, part / name)
        config = json.loads((part / "config.json").read_text())
        config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
        (part / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        for path in (*trained.glob("*.safetensors"), *trained.glob("*.safetensors.index.json")):
            _link_or_copy(path, part / path.name)
        if out.exists():
            out.rename(old)
        part.rename(out)
    finally:
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)
