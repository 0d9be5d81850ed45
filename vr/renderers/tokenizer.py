"""Tokenizers: loading one, text to ids and back, the tokens that end a turn, where a marker stands in sampled ids.

Only fast tokenizers (those of the library `tokenizers`) are supported, because spans are found by character offsets.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from vr.renderers.markers import TEXT_END, TURN_BEGIN, TURN_END
from vr.renderers.model_directory import in_one_line, require_model

_TEXTS_AT_ONCE = 8  # texts that a thread encodes in one call, without Python's lock
_PIECE = 1000  # characters
_LINE_OF_LETTERS = re.compile(r"\n(?=[A-Za-z])")


def load_tokenizer(model: str | Path) -> Any:
    """The tokenizer of a model directory, which is checked first; code that comes with the model is never run.

    Raises:
        FileNotFoundError, ValueError: as `require_model`; there is no tokenizer, or it cannot be read.
    """
    require_model(model)
    if not any(Path(model).glob("tokenizer*")):
        raise FileNotFoundError(f"{model}: no tokenizer there")
    from transformers import AutoTokenizer  # takes seconds to import

    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # the library `tokenizers` raises bare ones
        raise ValueError(f"{model}: its tokenizer cannot be read: {in_one_line(error)}") from error


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text, without anything added.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    return _backend(tokenizer).encode(text, add_special_tokens=False).ids


@dataclass(frozen=True)
class Encoded:
    """The ids of a text, and which token begins or ends at a character."""

    ids: list[int]
    """T ids"""
    _first_characters: list[int]
    """of the pieces in which the text was encoded"""
    _first_tokens: list[int]
    _pieces: list[Any]
    """one `tokenizers.Encoding` each"""

    def token_from(self, character: int) -> int | None:
        """The token that begins with this character of the text; None where no token begins there."""
        first_token, piece, inside = self._find(character)
        token = piece.char_to_token(inside)
        begins = token is not None and piece.token_to_chars(token)[0] == inside
        return first_token + token if begins else None

    def token_to(self, character: int) -> int:
        """One past the token that holds the character before this one, which is not white space."""
        first_token, piece, inside = self._find(character - 1)
        return first_token + piece.char_to_token(inside) + 1

    def _find(self, character: int) -> tuple[int, Any, int]:
        index = bisect_right(self._first_characters, character) - 1
        return self._first_tokens[index], self._pieces[index], character - self._first_characters[index]


def encode_all(tokenizer: Any, texts: Sequence[str]) -> Iterator[Encoded]:
    """The encoding of every text, in order, computed on all cores.

    A long text is encoded in pieces, because a core's cache is too small for what the whole needs: pieces take 0.55 of
    the time. A piece begins at a line where the tokenizer splits the text anyway, so the ids are those of the whole.
    The threads are this function's own: TOKENIZERS_PARALLELISM, which may be false in a stage, makes no difference.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    backend = _backend(tokenizer)
    in_pieces = any(len(text) > _PIECE for text in texts) and _lines_stand_alone(backend)
    blocks = [texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE)]

    def of_block(block: Sequence[str]) -> list[Encoded]:
        return _encode_block(backend, block, [_piece_starts(text, _PIECE) if in_pieces else [0] for text in block])

    if len(blocks) < 2:
        for block in blocks:
            yield from of_block(block)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for found in threads.map(of_block, blocks):
            yield from found


def _encode_block(backend: Any, texts: Sequence[str], starts: Sequence[list[int]]) -> list[Encoded]:
    # Each piece has the first letter of the next one at its end, so that its last tokens are those before a letter.
    pieces = [
        text[start : end + 1]
        for text, of_text in zip(texts, starts, strict=True)
        for start, end in pairwise([*of_text, len(text)])
    ]
    encodings = iter(backend.encode_batch(pieces, add_special_tokens=False))
    return [
        _joined(list(islice(encodings, len(of_text))), of_text) or _whole(backend, text)
        for text, of_text in zip(texts, starts, strict=True)
    ]


def _piece_starts(text: str, least: int) -> list[int]:
    """Where pieces of `least` characters and a little more begin: at letters that begin a line."""
    starts = [0]
    while found := _LINE_OF_LETTERS.search(text, starts[-1] + least):
        starts.append(found.end())
    return starts


def _joined(pieces: list[Any], starts: list[int]) -> Encoded | None:
    """A text's encoding out of its pieces'; None where the tokenizer does not split the text where a piece ends."""
    ids: list[int] = []
    first_tokens = []
    for piece, length in zip(pieces, [*(end - start for start, end in pairwise(starts)), None], strict=True):
        first_tokens.append(len(ids))
        if length is None:
            ids += piece.ids
            break
        cut = piece.char_to_token(length)
        if piece.token_to_chars(cut)[0] != length or piece.token_to_word(cut) == piece.token_to_word(cut - 1):
            return None
        ids += piece.ids[:cut]
    return Encoded(ids, starts, first_tokens, pieces)


def _whole(backend: Any, text: str) -> Encoded:
    encoding = backend.encode(text, add_special_tokens=False)
    return Encoded(encoding.ids, [0], [0], [encoding])


def _lines_stand_alone(backend: Any) -> bool:
    """Whether the tokenizer encodes a line that begins with a letter without regard to what comes before.

    Most do. Those that put a space before every text, or that look for tokens across words, do not.
    """
    text = "So 1 + 2 = 3.\n\nThen\nx"
    (joined,) = _encode_block(backend, [text], [_piece_starts(text, 1)])
    return len(joined._pieces) == 3 and joined.ids == _whole(backend, text).ids


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
