"""Trainings of the worker for tests to look at: many short ones, or one whose stage is killed in the middle.

The short ones run in processes forked from one that has LLaMA-Factory loaded, which takes seconds a process.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_models import ROOT
from trainings import LONG, run_train

from vr.engines.training import job, trainer
from vr.engines.training.layout import lay_out
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine, free_port
from vr.settings.training import Train

RESUMED = {"train_ranks": 2, "train_micro_batch": 2}  # the layout of the run that is killed
AT_ONCE = 2  # processes


@dataclass(frozen=True)
class Job:
    """One training, for `run_jobs`."""

    content: dict[str, Any]
    """the worker's JSON"""
    ranks: int
    stock: bool
    """as LLaMA-Factory does it without this project"""


def _serve(jobs: list[Job]) -> None:
    """Run jobs, `AT_ONCE` ranks at the same time, each in a forked process."""
    from vr.engines.training import worker

    worker.prepare_imports()
    # Only to save time in every process below.
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401
    from llamafactory.train.tuner import run_exp

    running: set[int] = set()
    for item in sorted(jobs, key=lambda item: item.ranks):
        while len(running) + item.ranks > AT_ONCE:
            _wait_for_one(running)
        port = free_port()
        for rank in range(item.ranks):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(item.ranks)}
                    os.environ |= {"LOCAL_WORLD_SIZE": str(item.ranks)}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    if item.stock:
                        run_exp(item.content["arguments"])
                    else:
                        worker.main(item.content)
                    status = 0
                except SystemExit as end:
                    Path(item.content["arguments"]["output_dir"]).with_name("end").write_text(str(end))
                    status = 0
                finally:
                    os._exit(status)
            running.add(child)
    while running:
        _wait_for_one(running)


def _wait_for_one(running: set[int]) -> None:
    child, status = os.wait()
    assert status == 0
    running.remove(child)


def _with_labels(weighted_set: Path, plain_set: Path) -> None:
    """The set as stock LLaMA-Factory wants it: it knows no weights."""
    from datasets import DatasetDict, load_from_disk

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        ids, start = row["input_ids"], row["trained_from"]
        return {"attention_mask": [1] * len(ids), "labels": [-100] * start + ids[start:]}

    rows = load_from_disk(str(weighted_set))["train"]
    DatasetDict({"train": rows.map(columns).select_columns(["input_ids", "attention_mask", "labels"])}).save_to_disk(
        str(plain_set)
    )


def make_job(
    folder: Path, base: Path, rows: list[WeightedExample], settings: Train, *, stock: bool = False, **machine: Any
) -> Job:
    """A training of `base` that saves its set and, once it has run, its result in `folder`."""
    folder.mkdir()
    layout = lay_out(settings.batch_size, Machine(**machine), 0, 1)
    stats = trainer._prepare_rows(
        rows, folder, cutoff_len=settings.cutoff_len, multiple_of=settings.batch_size, vocabulary=400
    )
    path = job.write(folder, base, settings, stats, layout, Machine(checkpoint_steps=1000))
    if stock:
        _with_labels((folder / "rows").rename(folder / "weighted"), folder / "rows")
    return Job(json.loads(path.read_text()), layout.ranks, stock)


def run_jobs(jobs: list[Job]) -> None:
    """Run them all; the output of each is in `run` in its folder, or in `end` what ended it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        server = multiprocessing.get_context("spawn").Process(target=_serve, args=(jobs,))
        server.start()
        server.join()
    assert server.exitcode == 0


def kill_and_resume(
    base: Path, root: Path, checkpoints: dict[str, Any] | None = None, **settings: Any
) -> trainer.Training:
    """Train to `root/models/final`, kill the stage after its first checkpoint, and run it again.

    Args:
        checkpoints: how often there is one; None: every 7 steps.
    """
    machine = RESUMED | (checkpoints or {"checkpoint_steps": 7})
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]!r}
from pathlib import Path
from trainings import run_train
run_train(Path({str(base)!r}), Path({str(root)!r}), {settings | {"epochs": LONG}!r}, **{machine!r})
"""
    with subprocess.Popen([sys.executable, "-c", program]) as stage:
        while not list((root / "work").glob("*/*/run/checkpoint-*/complete")):
            assert stage.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.01)
        workers = psutil.Process(stage.pid).children(recursive=True)
        os.kill(stage.pid, signal.SIGKILL)
    # Nothing is left that could write into the folder beside the next run.
    assert workers and not psutil.wait_procs(workers, timeout=20)[1]
    assert not (root / "models").exists()
    assert not list((root / "work").glob("*/*/run/trainer_state.json")), "it was not killed in the middle"
    return run_train(base, root, settings | {"epochs": LONG}, **machine)
