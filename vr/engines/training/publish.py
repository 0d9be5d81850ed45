"""A trained model as a model directory: trained weights, the base's config and tokenizer, and how its turns end."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vr.renderers.markers import TURN_END
from vr.renderers.model_directory import read_json, require_finite
from vr.tables.files import atomic_folder

_KEPT_FILES = (
    *("config.json", "generation_config.json", "chat_template.jinja", "chat_template.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""Files that a trained model takes over from its base."""
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
"""The precisions of a training as config.json and torch name them."""


def publish(trained: Path, base: Path, out: Path, *, precision: str, turn_ends: Sequence[int]) -> None:
    """Put the model directory `out` together; it appears whole or not at all.

    The files of `base` stay as they are but for the number type and the ends of turns: config, generation config and
    tokenizer name them, so that transformers' `generate` and vLLM stop by themselves.

    Args:
        trained: the folder with the trained safetensors files. They are hard-linked, not moved, so that a full disk
            does not lose them. Nothing may write into them afterwards; the folder may be removed.
        precision: `bf16` or `fp32`.
        turn_ends: ids of the tokens at which generation stops, the turn's end first.

    Raises:
        ValueError: a trained weight is NaN or infinite.
        OSError: a file cannot be written.
    """
    try:
        require_finite(trained)
    except ValueError as error:
        raise ValueError(f"{out}: the training has diverged: {error}") from error
    with atomic_folder(out) as part:
        for name in _KEPT_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, part / name)  # without the mode: the base may be read-only
        _change_config(part / "config.json", DTYPES[precision], turn_ends[0])
        _change(part / "generation_config.json", {"eos_token_id": list(turn_ends)})
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            _end_turns_in(part / name)
        for path in (*trained.glob("*.safetensors"), *trained.glob("*.safetensors.index.json")):
            _link_or_copy(path, part / path.name)


def _change_config(path: Path, dtype: str, turn_end: int) -> None:
    config = read_json(path)
    _change(path, {"torch_dtype" if "torch_dtype" in config else "dtype": dtype, "eos_token_id": turn_end})


def _end_turns_in(path: Path) -> None:
    """Make TURN_END the `eos_token` of a tokenizer's file, where it names another."""
    if path.is_file():
        named = read_json(path).get("eos_token")
        text = named.get("content") if isinstance(named, dict) else named
        if text != TURN_END:
            _change(path, {"eos_token": TURN_END})


def _change(path: Path, entries: dict[str, Any]) -> None:
    content = read_json(path) if path.is_file() else {}
    path.write_text(json.dumps(content | entries, indent=2, ensure_ascii=False) + "\n")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
