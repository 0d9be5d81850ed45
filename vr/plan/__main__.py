"""What params.yaml will cost on this machine, before anything runs: `python -m vr.plan`.

Per stage: rows, tokens, steps, rows a step = micro-batch x accumulation x ranks, time, memory of a device, disk; then
the totals, what the figures rest on, and what does not fit with the entry that would mend it.

Where the base model is there and the plan is for this machine, its speed is measured (up to 2 minutes); else it
follows from published and assumed figures, which the plan names. Nothing is written.
"""

import argparse
import sys
from pathlib import Path

from vr.plan import hardware, planning


def main() -> None:
    arguments = _parser().parse_args()
    try:
        print(planning.make(**vars(arguments)).page())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit("\n".join(f"plan: error: {line}" for line in str(error).splitlines()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vr.plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument(
        "--machine", type=Path, default=Path("machine.yaml"), help="default: %(default)s, if it is there"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="tables of an earlier run (default: %(default)s)"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="where models/base lies (default: %(default)s)"
    )
    parser.add_argument("--gpu", help=f"plan for GPUs of this kind: {', '.join(hardware.GPUS)}")
    parser.add_argument("--gpus", type=int, help="how many of them")
    parser.add_argument(
        "--probe",
        dest="measure",
        action=argparse.BooleanOptionalAction,
        help="measure the speed here; default: if it can be",
    )
    return parser


if __name__ == "__main__":
    main()
