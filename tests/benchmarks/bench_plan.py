"""The plan beside what a run then took: seconds and peak memory of each stage, after `make repro`.

Reads params.yaml, machine.yaml and `.work/seconds.jsonl`, to which every stage that ends well adds a line. A stage
that went on after an interruption took less than it would have in one piece; of several lines the last counts.
"""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import MIB, ROOT, command_line, write_json
from vr.plan import memory, planning
from vr.plan.work import Stage


def measured(path: Path) -> dict[str, dict[str, float]]:
    """The last line of each stage."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {line.pop("stage"): line for line in lines}


def compare(plan: planning.Plan, found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each planned stage that has run: means over those that have the same to do."""
    return [row for stage in plan.stages if (row := _row(stage, plan, found))]


def _row(stage: Stage, plan: planning.Plan, found: dict[str, dict[str, float]]) -> dict[str, Any] | None:
    lines = [line for name, line in found.items() if fnmatchcase(name, stage.name)]
    if not lines:
        return None
    held = memory.of_work(stage.work, plan.clock)
    row = {
        "stage": stage.name,
        "planned_s": round(plan.clock.seconds(stage.work), 1),
        "measured_s": round(sum(line["seconds"] for line in lines) / len(lines), 1),
        "planned_mib": round(held.total / MIB) if held else None,
        "measured_mib": max(line["peak_mib"] for line in lines),
    }
    return row | {"ratio": round(row["planned_s"] / row["measured_s"], 2)}


def main() -> None:
    """Plan, compare, print, write."""
    parser = command_line(__doc__, "bench_plan")
    parser.add_argument("--project", type=Path, default=ROOT, help="where the pipeline ran")
    options = parser.parse_args()
    at = options.project
    plan = planning.make(at / "params.yaml", at / "machine.yaml", at / "data", at / "models")
    rows = compare(plan, measured(at / ".work" / "seconds.jsonl"))
    print(f"{'stage':36}{'planned s':>10}{'measured s':>11}{'ratio':>7}{'planned MiB':>13}{'measured MiB':>13}")
    for row in rows:
        print(
            f"{row['stage']:36}{row['planned_s']:>10}{row['measured_s']:>11}{row['ratio']:>7}"
            f"{row['planned_mib'] or '':>13}{row['measured_mib']:>13}"
        )
    write_json({"stages": rows}, options.json)


if __name__ == "__main__":
    main()
