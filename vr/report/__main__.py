"""`python -m vr.report metrics.json` prints the table of results."""

import json
import sys
from pathlib import Path

from vr.report import results_table


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m vr.report metrics.json")
    print(results_table.markdown(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
