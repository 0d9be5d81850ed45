"""The base model: the miniature's, made here and seeded, or a real one from a folder, a hub or a package.

Reads PROBLEMS and the PROMPTS folder (the miniature's tokenizer is trained on their text). Writes the model BASE.
"""

import logging
from pathlib import Path

from stages._renderer import system_prompt
from stages._run import Out, run
from stages._settings import params
from vr.settings.params import Base
from vr.sources import gguf, miniature_model, models
from vr.tables import parquet, schemas


def main(problems: Path, prompts: Path, base: Out) -> None:
    p = params(Base)
    if p.source.startswith(gguf.PREFIX):
        gguf.unpack(p.source, base)
        logging.info("%s from %s", base, p.source)
        return
    if p.source != "miniature":
        revision = models.fetch(p.source, p.revision, base, Base.section)
        logging.info("%s from %s%s", base, p.source, f" at {revision}" if revision else "")
        return
    train = parquet.read(problems, schemas.Problems)
    wordings = {name: system_prompt(prompts / f"{name}.txt") for name in ("reasoner", "posterior_A", "posterior_B")}
    miniature_model.make_miniature(miniature_model.tokenizer_texts(train, wordings), base, p)
    logging.info("%s: hidden size %d, %d layers, markers as %s", base, p.hidden_size, p.layers, p.markers)


if __name__ == "__main__":
    run(main)
