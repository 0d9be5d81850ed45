"""Which model writes the traces: q, or pi_0 where there is no hint.

Reads MODEL. Writes SAMPLER, a small JSON file with the model's path and a digest of its files: what follows
depends on this file alone, so that a change of pi_0 leaves traces of q untouched, and the other way round.
"""

import json
import logging
from pathlib import Path

from stages import run
from vr.execution.work_folder import fingerprint


def model_of(sampler: Path) -> Path:
    """The model directory that SAMPLER names."""
    return Path(json.loads(sampler.read_text())["model"])


def main(model: Path, sampler: Path) -> None:
    if not (model / "config.json").is_file():
        raise FileNotFoundError(f"{model}: no such model")
    sampler.parent.mkdir(parents=True, exist_ok=True)
    sampler.write_text(json.dumps({"model": str(model), "digest": fingerprint(model)}) + "\n")
    logging.info("traces come from %s", model)


if __name__ == "__main__":
    run(main)
