"""How fast verification is, compared with the obvious ways: `python -m tests.benchmarks.bench_verify`.

Programs: 200 small programs of 5 tests each, compared with a runner that starts a Python for every test.
Mathematics: pairs of the ordinary kinds on one core, compared with math-verify alone; and how many of the labelled
pairs each judges as labelled. Rates are per second of wall time and per second of processor time, which a busy machine
changes less: medians of three runs. Prints a table and writes JSON. Asserts nothing.
"""

import gzip
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import ROOT, command_line, write_json
from vr.verify import Task, verify
from vr.verify.api import n_cores
from vr.verify.sandbox.isolation import choose_level

LABELLED = ROOT / "tests" / "verify" / "math" / "labelled_pairs.jsonl.gz"
N_PROGRAMS, N_TESTS, N_PAIRS = 200, 5, 1500
N_RUNS = 3
EXTRAORDINARY = {"huge", "long", "malformed"}

PROGRAMS = [
    "a, b = map(int, input().split())\nprint(a + b)",
    "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
    "from collections import Counter\nc = Counter(map(int, input().split()))\nprint(sum(k * v for k, v in c.items()))",
    "def main():\n    n = sorted(map(int, input().split()))\n    print(sum(n))\nif __name__ == '__main__':\n    main()",
]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, wall seconds, processor seconds of this process and its finished children): medians of several runs."""

    def processor() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    walls, cpus = [], []
    for _ in range(N_RUNS):
        wall, cpu = time.monotonic(), processor()
        result = work()
        walls.append(time.monotonic() - wall)
        cpus.append(processor() - cpu)
    return result, statistics.median(walls), statistics.median(cpus)


def program_tasks() -> tuple[list[Task], list[str]]:
    """The tasks and the code in them; every program is right."""
    inputs = [f"{n} {n + 1}" for n in range(N_TESTS)]
    tests = json.dumps({"inputs": inputs, "outputs": [str(2 * n + 1) for n in range(N_TESTS)]})
    codes = [PROGRAMS[n % len(PROGRAMS)] for n in range(N_PROGRAMS)]
    return [Task("stdin", f"```python\n{code}\n```", None, tests) for code in codes], codes


def python_per_test(codes: list[str], workers: int) -> int:
    """The obvious runner: a new interpreter for every test. Returns how many programs pass."""

    def passes(number: int, code: str) -> bool:
        path = Path(folder) / f"{number}.py"
        path.write_text(code)
        for n in range(N_TESTS):
            given = f"{n} {n + 1}\n"
            done = subprocess.run([sys.executable, str(path)], input=given, capture_output=True, text=True, timeout=60)
            if done.stdout.split() != [str(2 * n + 1)]:
                return False
        return True

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(passes, range(len(codes)), codes))


def labelled_pairs() -> list[dict[str, Any]]:
    """Pairs with `gold`, `pred`, `equal` and `kind`."""
    return [json.loads(line) for line in gzip.decompress(LABELLED.read_bytes()).splitlines()]


def plain_math_verify(pairs: list[dict[str, Any]]) -> list[bool]:
    """math-verify as it comes, on the whole solution, in one process."""
    import logging

    from math_verify import parse
    from math_verify import verify as equal

    logging.disable(logging.CRITICAL)
    return [bool(equal(parse("$" + pair["gold"] + "$"), parse(pair["pred"]))) for pair in pairs]


def ours(pairs: list[dict[str, Any]]) -> list[bool]:
    """This package on one worker."""
    verdicts = verify([Task("math", pair["pred"], pair["gold"]) for pair in pairs], workers=1)
    return [verdict.outcome == "correct" for verdict in verdicts]


def accuracy(pairs: list[dict[str, Any]], found: list[bool]) -> dict[str, int]:
    """Right verdicts and false equals."""
    right = sum(pair["equal"] == equal for pair, equal in zip(pairs, found, strict=True))
    false_equal = sum(equal and not pair["equal"] for pair, equal in zip(pairs, found, strict=True))
    return {"pairs": len(pairs), "right": right, "false_equal": false_equal}


def bench_programs(workers: int) -> dict[str, dict[str, Any]]:
    """Programs per second, both ways."""
    tasks, codes = program_tasks()
    level = choose_level()
    verdicts, wall, cpu = timed(lambda: list(verify(tasks, workers=workers)))
    found = {f"programs, ours ({level})": rates(sum(v.outcome == "correct" for v in verdicts), wall, cpu)}
    passed, wall, cpu = timed(lambda: python_per_test(codes, workers))
    return found | {"programs, a Python per test": rates(passed, wall, cpu)}


def bench_math() -> dict[str, dict[str, Any]]:
    """Pairs per second on one core, both ways, and how many of all labelled pairs come out right."""
    pairs = labelled_pairs()
    ordinary = [pair for pair in pairs if pair["kind"].split(":")[0] not in EXTRAORDINARY]
    sample = random.Random(1).choices(ordinary, k=N_PAIRS)
    found = {}
    for name, judge in (("math, ours", ours), ("math, math-verify as it comes", plain_math_verify)):
        judged, wall, cpu = timed(lambda judge=judge: judge(sample))  # type: ignore[misc]
        found[name] = rates(len(judged), wall, cpu) | accuracy(pairs, judge(pairs))
    return found


def rates(n_done: int, wall: float, cpu: float) -> dict[str, Any]:
    """Counts and rates."""
    return {
        "done": n_done,
        "wall_s": round(wall, 3),
        "per_s": round(n_done / wall, 1),
        "per_cpu_s": round(n_done / cpu, 1),
    }


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_verify")
    options = parser.parse_args()
    workers = min(2, n_cores())
    results = {**bench_programs(workers), **bench_math()}
    print(f"{'':34}{'done':>7}{'per s':>9}{'per cpu s':>11}{'right':>11}{'false =':>9}")
    for name, row in results.items():
        false_equal = row.get("false_equal", "")
        right = f"{row['right']}/{row['pairs']}" if "right" in row else ""
        print(f"{name:34}{row['done']:>7}{row['per_s']:>9}{row['per_cpu_s']:>11}{right:>11}{false_equal:>9}")
    write_json({"workers": workers, "results": results}, options.json)


if __name__ == "__main__":
    main()
