"""Supervised training of one model: weighted rows in, a model directory out.

LLaMA-Factory trains all weights, or adapters beside them, under DeepSpeed, in processes of its own (worker.py). This
module saves the set, lays the global batch out (layout.py), runs the processes (job.py, launch.py), resumes after a
kill, adds adapters to the weights (adapters.py), and hands the model over (publish.py). It knows no stage and no
params.yaml, and trains on one node.
"""

import filecmp
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path

import polars as pl

from vr.engines.training import adapters, job, training_set
from vr.engines.training.checkpoint import is_complete, mark_complete
from vr.engines.training.launch import launch
from vr.engines.training.layout import Layout, has_bf16, lay_out, most_rows
from vr.engines.training.publish import publish
from vr.engines.training.training_set import TrainingSetStats
from vr.execution import code
from vr.execution.work_folder import fingerprint, work_folder
from vr.renderers.model_directory import vocabulary, weight_bytes
from vr.renderers.tokenizer import load_tokenizer, require_turn_markers, turn_ends
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine, cores, gpus
from vr.settings.training import Train
from vr.tables.files import atomic_file, remove

log = getLogger(__name__)

CURVES = {
    "step": pl.Int64,
    "epoch": pl.Float64,
    "loss": pl.Float64,
    "grad_norm": pl.Float64,
    "learning_rate": pl.Float64,
}
"""Columns of the training curves; `grad_norm` is that before clipping."""


@dataclass(frozen=True)
class Training:
    """What a training leaves beside the model."""

    stats: TrainingSetStats
    curves: pl.DataFrame
    """see `curves`"""

    def write(self, stats: Path, curves: Path) -> None:
        """Write both as CSV: one row of statistics, one row per step.

        Raises:
            OSError: a file cannot be written.
        """
        for frame, path in ((pl.DataFrame([asdict(self.stats)]), stats), (self.curves, curves)):
            with atomic_file(path) as part:
                frame.write_csv(part)


def train(
    rows: Iterable[WeightedExample],
    base: Path,
    out: Path,
    *,
    params: Train,
    rows_per_question: int,
    machine: Machine,
    work_root: Path,
) -> Training:
    """Fine-tune the model in `base` on `rows` and put the result in `out`.

    A step takes `params.batch_size * rows_per_question` rows (2 with mix, K when weighted, else 1), so that the number
    of steps does not depend on the rows per question (App. C.3). An interrupted training is resumed from its last
    checkpoint under `work_root` if rows, base, params and layout are still the same.

    `out` gets config, safetensors (in the precision of training), tokenizer and generation config, and nothing else;
    it appears whole or not at all.

    Raises:
        FileNotFoundError, ValueError: no model in `base`, or it is not whole.
        ValueError: the batch cannot be laid out on this machine; the model lacks a layer that is to get
            adapters; the rows leave nothing to train on, or have token ids that the model does not know; the tokenizer
            has no single token that ends a turn.
        RuntimeError: the training processes failed (the last lines that they wrote are in the message), the training
            came to weights that are no numbers, or another process trains the same model.
        OSError: the disk is full.
    """
    base, out, work_root = base.resolve(), out.resolve(), work_root.resolve()
    tokenizer = load_tokenizer(base)
    require_turn_markers(tokenizer)
    size = weight_bytes(base)
    most = most_rows(size, params.cutoff_len)
    layout = lay_out(params.batch_size * rows_per_question, machine, gpus(), cores(), most)
    threads = machine.threads_of(size, layout.ranks)
    adapters.require_targets(base, params)
    if params.precision == "bf16" and not layout.gpu and not has_bf16():
        log.warning("%s: this processor has no instructions for bf16: fp32 is faster", out.name)
    with work_folder(work_root, f"train-{out.name}", _fingerprint(base, params, layout)) as folder:
        stats = _prepare_rows(
            rows, folder, cutoff_len=params.cutoff_len, multiple_of=layout.batch, vocabulary=vocabulary(base)
        )
        log.info(
            "%s: %d rows (%d cut off, %d of padding), C = %.2f tokens, %s, %d thread(s) a rank",
            out.name,
            stats.rows,
            stats.rows_truncated,
            stats.padding_rows,
            stats.normalizer_tokens,
            layout,
            threads,
        )
        if not is_complete(run := folder / "run"):
            launch(job.write(folder, base, params, stats, layout, machine), layout, threads)
            mark_complete(run)
        result = Training(stats, curves(run / "trainer_state.json"))
        weights = run if params.method == "full" else adapters.merge(base, run, folder / "merged", params.precision)
        publish(weights, base, out, precision=params.precision, turn_ends=turn_ends(tokenizer))
        return result


def curves(trainer_state: Path) -> pl.DataFrame:
    """The training curves (CURVES), one row per step."""
    history = json.loads(trainer_state.read_text())["log_history"]
    points = [{name: point.get(name) for name in CURVES} for point in history if "loss" in point]
    return pl.DataFrame(points, schema=CURVES)


def _fingerprint(base: Path, params: Train, layout: Layout) -> str:
    """Of all that a half-done training follows from, but for its rows, which are compared one by one."""
    settings = params.model_dump(include=set(Train.model_fields))
    deepspeed = job.deepspeed_config(layout.zero_stage)
    files = [*code.reached(Path(__file__).with_name("worker.py")), Path(job.__file__)]
    return fingerprint(base, settings, asdict(layout), deepspeed, *files)


def _prepare_rows(rows: Iterable[WeightedExample], folder: Path, **how: int) -> TrainingSetStats:
    """Save the set as `folder/rows`; if it is not the set of the interrupted run, remove that run.

    Args:
        how: the keywords of `training_set.save`.
    """
    new, kept = folder / "rows.new", folder / "rows"
    stats = training_set.save(rows, new, **how)
    old_data, new_data = training_set.data_file(kept), training_set.data_file(new)
    if old_data.is_file() and filecmp.cmp(old_data, new_data, shallow=False):
        remove(new)
        return stats
    for stale in (folder / "run", kept):
        remove(stale)
    new.rename(kept)
    return stats
