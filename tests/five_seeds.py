"""The default run with other seeds, as DVC experiments, and the table of their gains.

`python tests/five_seeds.py [SEED ...]` (default 0 1 2 3 4) takes about as long as that many `make repro`. Each run has
its own base model, order of training rows, traces, answers and evaluation samples; the problems stay the same.
Not a test: it measures and asserts nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SECTIONS = ("base", "training", "likelihood_acc", "evaluate")
"""Sections of params.yaml whose seed changes."""
N_TRACES = 4
BENCHMARK = "miniature_test"


def run(seed: int) -> dict[str, Any]:
    """Metrics of the benchmark after the experiment of one seed, by model."""
    traces = list(range(N_TRACES * seed, N_TRACES * (seed + 1)))
    changes = [*(f"{section}.seed={seed}" for section in SECTIONS), f"seeds={traces}"]
    command = ["dvc", "exp", "run", "--name", f"seed-{seed}"]
    for change in changes:
        command += ["-S", change]
    subprocess.run(command, check=True)
    return json.loads(Path("metrics.json").read_text())[BENCHMARK]


def row(seed: int, models: dict[str, Any]) -> str:
    """A row of the table, in percent."""
    initial, final = (f"{100 * models[name]['avg_at_n']:.1f}" for name in ("initial", "final"))
    gain, low, high = (
        f"{100 * models['final_minus_initial'][name]:+.1f}" for name in ("avg_at_n", "ci_low", "ci_high")
    )
    return f"| {seed} | {initial} | {final} | {gain} | {low} to {high} |"


def main() -> None:
    seeds = [int(argument) for argument in sys.argv[1:]] or range(5)
    rows = [row(seed, run(seed)) for seed in seeds]
    print("| run | initial Avg@n | final Avg@n | gain | 95 % interval |", "|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
