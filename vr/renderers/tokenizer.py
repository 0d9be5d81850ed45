"""Tokenizers: loading one, text to ids and back, the tokens that end a turn, where a marker stands in sampled ids.

Only fast tokenizers (those of the library `tokenizers`) are supported, because spans are found by character offsets.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from vr.renderers.markers import TEXT_END, TURN_BEGIN, TURN_END
from vr.renderers.model_directory import in_one_line, require_model

_TEXTS_AT_ONCE = 8  # texts that a thread encodes in one call, without Python's lock
_LEAST_QUIET = 1000  # characters
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
    """The ids of a text, and which token begins or ends at a character outside the text's quiet span."""

    ids: list[int]
    """T ids"""
    _pieces: list[tuple[int, int, Any]]
    """(first character, first token, `tokenizers.Encoding`) of the pieces whose characters are known, the last first"""

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
        first_character, first_token, piece = next(piece for piece in self._pieces if piece[0] <= character)
        return first_token, piece, character - first_character


Span = tuple[int, int]
"""(first character, one past the last)"""


def encode_all(tokenizer: Any, texts: Sequence[str], quiet: Sequence[Span] | None = None) -> Iterator[Encoded]:
    """The encoding of every text, in order, computed on all cores.

    To keep track of characters takes as long as to encode. So the lines inside a long `quiet` span are encoded by
    themselves, as ids alone. They begin and end where the tokenizer splits the text, so the ids are those of the whole.
    The threads are this function's own: TOKENIZERS_PARALLELISM, which may be false in a stage, makes no difference.

    Args:
        quiet: of each text a span between whose ends no token will be asked for; None: there are none.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    backend = _backend(tokenizer)
    spans = quiet if quiet is not None and _lines_stand_alone(backend) else [(0, 0)] * len(texts)
    jobs = list(zip(texts, spans, strict=True))
    blocks = [jobs[start : start + _TEXTS_AT_ONCE] for start in range(0, len(jobs), _TEXTS_AT_ONCE)]
    if len(blocks) < 2:
        for block in blocks:
            yield from _encode_block(backend, block)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for found in threads.map(partial(_encode_block, backend), blocks):
            yield from found


def _encode_block(backend: Any, jobs: Sequence[tuple[str, Span]]) -> list[Encoded]:
    # Every piece has the first letter of the next one at its end, so that its last tokens are those before a letter.
    lines = [_lines_within(text, span) for text, span in jobs]
    inner = [(text, found) for (text, _), found in zip(jobs, lines, strict=True) if found is not None]
    silent = iter(backend.encode_batch_fast([text[a : c + 1] for text, (a, _, c) in inner], add_special_tokens=False))
    pieces = [piece for text, (a, b, c) in inner for piece in (text[: a + 1], text[b : c + 1], text[c:])]
    known = iter(backend.encode_batch(pieces, add_special_tokens=False))
    return [
        (None if found is None else _joined(found, next(silent).ids, list(islice(known, 3)))) or _whole(backend, text)
        for (text, _), found in zip(jobs, lines, strict=True)
    ]


def _lines_within(text: str, span: Span) -> tuple[int, int, int] | None:
    """Where the first line and the last two lines within a span begin, those that begin with a letter.

    None where fewer than `_LEAST_QUIET` characters lie between the first and the last.
    """
    begin, end = span
    if end - begin < _LEAST_QUIET or (first := _LINE_OF_LETTERS.search(text, begin, end)) is None:
        return None
    last = _line_before(text, end, first.end())
    before_last = _line_before(text, last - 1, first.end() - 1)
    return (first.end(), before_last, last) if last - first.end() >= _LEAST_QUIET else None


def _line_before(text: str, end: int, begin: int) -> int:
    """Where the last line that begins with a letter before `end` begins; `begin` where there is none after it."""
    at = text.rfind("\n", begin, end - 1)
    while at >= 0 and not _LINE_OF_LETTERS.match(text, at):
        at = text.rfind("\n", begin, at)
    return at + 1 or begin


def _joined(lines: tuple[int, int, int], silent: list[int], known: list[Any]) -> Encoded | None:
    """A text's encoding out of its pieces'; None where the tokenizer does not split the text where they end."""
    head, last_line, tail = known
    if not (_splits_before_last(head) and _splits_before_last(last_line)):
        return None
    ids = head.ids[:-1] + silent[:-1]
    return Encoded(ids + tail.ids, [(lines[2], len(ids), tail), (0, 0, head)])


def _splits_before_last(piece: Any) -> bool:
    """Whether the last character of a piece is a token and a word of its own."""
    begin, end = piece.token_to_chars(len(piece.ids) - 1)
    return len(piece.ids) > 1 and end - begin == 1 and piece.word_ids[-1] != piece.word_ids[-2]


def _whole(backend: Any, text: str) -> Encoded:
    encoding = backend.encode(text, add_special_tokens=False)
    return Encoded(encoding.ids, [(0, 0, encoding)])


def _lines_stand_alone(backend: Any) -> bool:
    """Whether the tokenizer encodes a line that begins with a letter without regard to what comes before.

    Most do. Those that put a space before every text, or that look for tokens across words, do not.
    """
    text = "So 1 + 2 = 3.\n\nThen\nx"
    at = [0, text.index("T"), text.index("x")]
    pieces = backend.encode_batch([text[a : b + 1] for a, b in pairwise(at)], add_special_tokens=False)
    ids = [number for piece in pieces for number in piece.ids[:-1]]
    return (
        all(map(_splits_before_last, pieces))
        and ids + backend.encode("x", add_special_tokens=False).ids == _whole(backend, text).ids
    )


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
