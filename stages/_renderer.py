"""The renderer of a stage: a model's tokenizer, and system prompts out of their files."""

import logging
import unicodedata
from pathlib import Path

import polars as pl

from vr.renderers import renderer
from vr.renderers.markers import TEXT_END, TURN_BEGIN, TURN_END
from vr.settings.yaml_files import text_of


def load(
    model: Path,
    *,
    reasoner: Path | None = None,
    posterior: Path | None = None,
    untrained: Path | None = None,
    hint: str = "",
    template: str = "",
    proposal: str = "initial",
) -> renderer.Renderer:
    """The renderer of a model. What a stage shows nobody is left out.

    Args:
        reasoner, posterior, untrained: files of the system prompts.
        hint, template, proposal: see `Wording`.

    Raises:
        FileNotFoundError: no such model or file.
        ValueError: a prompt is none (`system_prompt`).
    """
    prompts = {"reasoner": reasoner, "posterior": posterior, "untrained": untrained}
    texts = {name: system_prompt(file) if file else "" for name, file in prompts.items()}
    wording = renderer.Wording(**texts, hint=hint, template=template, proposal=proposal)
    return renderer.load(model, wording)


def warn_of_missing_hints(made: renderer.Renderer, problems: pl.DataFrame) -> None:
    """Say how many problems have no reference answer that could be the hint (hint: answer).

    Args:
        problems: problem_id, reference.
    """
    missing = [problem["problem_id"] for problem in problems.iter_rows(named=True) if made.hint_missing(problem)]
    if missing and made.wording.proposal == "posterior":
        n, of, first = len(missing), problems.height, missing[0]
        logging.warning("hint: answer: %d of %d problems have no reference, q sees their solution: %s", n, of, first)


def system_prompt(file: Path) -> str:
    """The wording of a system prompt.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text (`text_of`), empty, or holds a control character or what would end its turn.
    """
    text = text_of(file)
    if not text.strip():
        raise ValueError(f"{file}: the prompt is empty")
    for number, line in enumerate(text.split("\n"), start=1):
        if marker := next((marker for marker in (TURN_BEGIN, TURN_END, TEXT_END) if marker in line), ""):
            raise ValueError(f"{file}: line {number}: {marker} would end the turn of the prompt")
        if odd := [sign for sign in line if unicodedata.category(sign) == "Cc" and sign != "\t"]:
            raise ValueError(f"{file}: line {number}: the control character {odd[0]!r} is no text")
    return text.strip()
