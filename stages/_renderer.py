"""The renderer of a stage: a model's tokenizer, and system prompts out of their files."""

import logging
from pathlib import Path

import polars as pl

from vr.renderers import renderer


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
        ValueError: a prompt is empty.
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
        FileNotFoundError: no such file.
        ValueError: the file is empty.
    """
    text = file.read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{file}: the prompt is empty")
    return text
