"""Starting the training processes (ranks) of one machine, and watching them to their end.

Ranks end with this process, however it ends (vr/execution/processes.py). The first that fails ends the others.
Not covered: several machines; a rank is not started again.
"""

import os
import selectors
import shutil
import subprocess
import sys
import time
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vr.engines.training.layout import Layout
from vr.settings.machine import free_port

_TAIL_LINES = 25
_TAIL_CHARACTERS = 1 << 16
_GRACE_S = 5.0  # for the other ranks to end by themselves, when one has failed
_POLL_S = 0.1


@dataclass
class _Rank:
    process: subprocess.Popen[bytes]
    tail: str = ""
    """the end of what it wrote"""
    decoder: IncrementalDecoder = field(default_factory=lambda: getincrementaldecoder("utf-8")(errors="replace"))

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def pass_on(self) -> bool:
        """Write what the rank wrote to standard error; False at the end of its output."""
        chunk = os.read(self.output, 1 << 16)  # not by lines: a progress bar has none
        text = self.decoder.decode(chunk)
        self.tail = (self.tail + text)[-_TAIL_CHARACTERS:]
        sys.stderr.write(text)
        sys.stderr.flush()
        return bool(chunk)


def launch(job: Path, layout: Layout, threads: int) -> None:
    """Run vr/engines/training/worker.py on a job, in `layout.ranks` processes, until all have ended.

    Args:
        job: see vr/engines/training/job.py.
        threads: compute threads a rank, on a CPU.

    Raises:
        RuntimeError: a rank failed; the last lines that it wrote are in the message.
    """
    shared = _environment(layout, threads)
    ranks: list[_Rank] = []
    try:
        for number in range(layout.ranks):
            ranks.append(_Rank(_start(job, shared | {"RANK": str(number), "LOCAL_RANK": str(number)})))
        failed = _watch(ranks)
    finally:
        for rank in ranks:
            rank.process.kill()
            rank.process.wait()
    if failed:
        raise RuntimeError(_failure(failed, job.parent))


def _start(job: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vr.engines.training.worker", str(job), str(os.getpid())]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _watch(ranks: list[_Rank]) -> _Rank | None:
    """Pass on what ranks write until all have ended; the first that failed, if any."""
    failed: _Rank | None = None
    deadline = float("inf")
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.output, selectors.EVENT_READ, rank)
        while selector.get_map():
            for key, _ in selector.select(_POLL_S):
                if not key.data.pass_on():
                    selector.unregister(key.fd)
            if failed is None and (failed := _first_failed(ranks)):
                deadline = time.monotonic() + _GRACE_S
            if time.monotonic() > deadline:
                for rank in ranks:
                    rank.process.kill()
    for rank in ranks:
        rank.process.wait()
    return failed or _first_failed(ranks)


def _first_failed(ranks: list[_Rank]) -> _Rank | None:
    return next((rank for rank in ranks if rank.process.poll()), None)


def _failure(rank: _Rank, folder: Path) -> str:
    lines = rank.tail.replace("\r", "\n").strip().splitlines()[-_TAIL_LINES:]
    free = shutil.disk_usage(folder).free / 1e6
    full = f" with only {free:.0f} MB free in {folder}" if free < 100 else ""  # torch's own message does not say so
    checkpoints = sorted(folder.glob("run/checkpoint-*"))
    kept = [f"The next run resumes from {path}: remove that if it is what fails." for path in checkpoints]
    return "\n".join([f"training failed (exit status {rank.process.returncode}){full}; its last lines:", *lines, *kept])


def _environment(layout: Layout, threads: int) -> dict[str, str]:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "LLAMAFACTORY_VERBOSITY": os.environ.get("LLAMAFACTORY_VERBOSITY", "WARN"),
        "WORLD_SIZE": str(layout.ranks),
        "LOCAL_WORLD_SIZE": str(layout.ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    if not layout.gpu:
        environment |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": str(threads)}
    return environment
