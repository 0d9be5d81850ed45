"""What the benchmarks share: the command line, the JSON file, and the memory of a process."""

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MIB = 2**20


def command_line(doc: str, name: str) -> argparse.ArgumentParser:
    """A parser with the option that all benchmarks have: where the JSON goes."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", type=Path, default=ROOT / ".work" / f"{name}.json", help="where to write")
    return parser


def write_json(results: dict[str, Any], path: Path) -> None:
    """Write results and print where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {path}")


def memory_bytes(name: str) -> int:
    """A line of this process's status: VmRSS is its memory now, VmHWM the highest so far.

    `getrusage` is no substitute: its maximum includes the parent's memory before the process was started.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
