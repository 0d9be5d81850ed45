"""`python -m vr.report metrics.json` prints the table of results."""

import json
import sys
from pathlib import Path

from vr.report import results_table


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m vr.report metrics.json")
    path = Path(sys.argv[1])
    try:
        table = results_table.markdown(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        sys.exit(f"{path}: not the metrics of a run ({type(error).__name__}: {error})")
    print(table)


if __name__ == "__main__":
    main()
