"""Tokenizers: loading one, text to ids and back, the tokens that end a turn, where a marker stands in sampled ids.

Only fast tokenizers (those of the library `tokenizers`) are supported, because spans are found by character offsets.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vr.renderers.markers import TEXT_END, TURN_BEGIN, TURN_END

_TEXTS_AT_ONCE = 8  # texts that a thread encodes in one call, without Python's lock


def require_model(model: str | Path) -> None:
    """Check that a model directory is there; cheap, so that it can stand before an engine is imported.

    Raises:
        FileNotFoundError: `model` is no model directory.
    """
    if not (Path(model) / "config.json").is_file():
        raise FileNotFoundError(f"{model}: no such model (a directory with config.json, weights and a tokenizer)")


def load_tokenizer(model: str | Path) -> Any:
    """The tokenizer of a model directory; code that comes with the model is never run.

    Raises:
        FileNotFoundError: `model` is no model directory.
    """
    require_model(model)
    from transformers import AutoTokenizer  # takes seconds to import

    return AutoTokenizer.from_pretrained(model, trust_remote_code=False)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text, without anything added.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    return _backend(tokenizer).encode(text, add_special_tokens=False).ids


def encodings(tokenizer: Any, texts: Sequence[str]) -> Iterator[Any]:
    """The `tokenizers.Encoding` (ids and character offsets) of every text, in order, computed on all cores.

    The threads are this function's own: TOKENIZERS_PARALLELISM, which the stages set to false, does not matter.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    backend = _backend(tokenizer)
    blocks = [texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE)]

    def of_block(block: Sequence[str]) -> list[Any]:
        return backend.encode_batch(list(block), add_special_tokens=False)

    if len(blocks) < 2:
        for block in blocks:
            yield from of_block(block)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for found in threads.map(of_block, blocks):
            yield from found


def _backend(tokenizer: Any) -> Any:
    if not getattr(tokenizer, "is_fast", False):
        name = tokenizer.name_or_path or type(tokenizer).__name__
        raise ValueError(f"tokenizer {name!r} has no character offsets: only fast tokenizers are supported")
    backend = tokenizer.backend_tokenizer
    if backend.truncation or backend.padding:  # a tokenizer.json may bring either
        backend.no_truncation()
        backend.no_padding()
    return backend


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of ids, markers and special tokens included, spaces untouched."""
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def turn_ends(tokenizer: Any) -> list[int]:
    """The tokens that end a turn or a text, those of them that the tokenizer has."""
    encoded = [encode(tokenizer, name) for name in (TURN_END, TEXT_END)]
    return [ids[0] for ids in encoded if len(ids) == 1]


def require_turn_markers(tokenizer: Any) -> None:
    """Check that the ChatML markers are one token each, so that a turn can be ended by one token.

    Raises:
        ValueError: a marker is several tokens, or the tokenizer is not a fast one; names the tokenizer.
    """
    missing = [marker for marker in (TURN_BEGIN, TURN_END) if len(encode(tokenizer, marker)) != 1]
    if missing:
        name = tokenizer.name_or_path or type(tokenizer).__name__
        raise ValueError(f"tokenizer {name!r} has no single token for {' and '.join(missing)} (ChatML is needed)")


def split_at_marker(tokenizer: Any, ids: Sequence[int], marker: str) -> tuple[int, int] | None:
    """Where the marker that ends sampled ids stands.

    Only the tail of the ids is decoded, since a marker has no more tokens than bytes. An incomplete character at a
    cut decodes to one replacement character, so it counts as text before the marker.

    Returns:
        (number of ids up to the one that completes the marker, number of ids wholly before the marker), or None where
        the marker is not among the last 2 * len(marker) ids.
    """
    tail = ids[-2 * len(marker.encode()) :]
    begin = decode(tokenizer, tail).find(marker)
    if begin < 0:
        return None
    end = len(tail)
    while marker in decode(tokenizer, tail[: end - 1]):
        end -= 1
    before = end - 1
    while len(decode(tokenizer, tail[:before])) > begin:
        before -= 1
    skipped = len(ids) - len(tail)
    return skipped + end, skipped + before
