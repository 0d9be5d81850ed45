"""The default run with other seeds, as DVC experiments, and the table of their gains.

`python tests/five_seeds.py [SEED ...]` (default 0 1 2 3 4), about as many times `make repro`. Each run has its own
base model, order of training rows, traces, answers and evaluation samples; the problems stay the same.
Not a test: it measures, and asserts nothing.
"""

import json
import subprocess
import sys
from pathlib import Path

SECTIONS = ("base", "train_initial", "train_posterior", "train_final", "likelihood_acc", "evaluate")
K = 4


def run(seed: int) -> dict[str, dict]:
    """Metrics of the default benchmark after the experiment of one seed."""
    traces = list(range(K * seed, K * seed + K))
    changes = [f"{section}.seed={seed}" for section in SECTIONS] + [f"seeds={traces}"]
    command = [
        "dvc",
        "exp",
        "run",
        "--name",
        f"seed-{seed}",
    ]
    subprocess.run([*command, *(part for change in changes for part in ("-S", change))], check=True)
    return json.loads(Path("metrics.json").read_text())["miniature"]


def main() -> None:
    rows = []
    for seed in [int(argument) for argument in sys.argv[1:]] or range(5):
        found = run(seed)
        gain = found["final_minus_initial"]
        percent = [f"{100 * value:.1f}" for value in (found["initial"]["avg_at_n"], found["final"]["avg_at_n"])]
        interval = f"{100 * gain['ci_low']:+.1f} to {100 * gain['ci_high']:+.1f}"
        rows.append(f"| {seed} | {percent[0]} | {percent[1]} | {100 * gain['avg_at_n']:+.1f} | {interval} |")
    print("| run | initial Avg@n | final Avg@n | gain | 95 % interval |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
