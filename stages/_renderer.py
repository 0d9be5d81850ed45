"""The renderer of a stage: a model's tokenizer, and system prompts out of their files."""

from pathlib import Path

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
