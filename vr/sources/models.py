"""The base model that every training starts from: the embedded miniature, or a real model fetched.

`make_miniature` builds a Qwen3 of random weights with a byte-level BPE tokenizer of its own; `fetch` brings a
model directory or a hub model into place. Only weights in safetensors and plain text files are taken: no pickles,
no Python code. Both write to a temporary folder beside the target and rename it at the end, so a model directory is
whole or not there.

Not covered: pretraining (the miniature knows nothing before its first training), and checking that a fetched
model's architecture is one that the trainer and the sampler know.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import polars as pl

from vr.renderers import markers

POSITIONS = 1024
HEAD_SIZE = 32
"""The smallest that vLLM's attention on CPUs has; as in Qwen3, heads need not add up to the hidden size."""
INITIALIZER_RANGE = 0.05
"""Qwen's own 0.02 suits wide models; narrow ones learn much faster from larger first weights."""
TAKEN = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Files of a model that `fetch` takes."""

# Qwen's own split: words with one leading space, each digit alone, punctuation, line ends, other spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tokenizer_texts(problems: pl.DataFrame, system: str, posterior_system: str, template: str) -> Iterator[str]:
    """What the miniature's tokenizer learns from: each train problem as pi's and as q's whole conversation."""
    rows = problems.filter(pl.col("split") == "train").select("question", "system", "solution")
    for question, own_system, solution in rows.iter_rows():
        thought, answer = markers.split_response(solution)
        _, end = markers.trace_markers(template)
        yield markers.conversation(own_system or system, question) + solution + markers.TURN_END
        yield (
            markers.conversation(posterior_system, question)
            + markers.posterior_lead(answer, template)
            + thought
            + end
            + markers.TURN_END
        )


def make_miniature(
    texts: Iterable[str],
    out: Path,
    *,
    hidden_size: int,
    layers: int,
    heads: int,
    vocabulary: int,
    markers: Literal["special", "text"],
    seed: int,
) -> None:
    """Write a small Qwen3 of random weights, with a tokenizer learnt from `texts`, to the directory `out`.

    Args:
        vocabulary: tokens at most, the 256 bytes and the special tokens included (few texts may give fewer).
        markers: whether <|begin_of_thought|> and the like are one token each, or ordinary text.
        seed: of the weights; the tokenizer follows from the texts alone.

    Raises:
        ValueError: the vocabulary has no room for the bytes.
    """
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    tokenizer = _tokenizer(texts, vocabulary, markers)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=HEAD_SIZE,
        initializer_range=INITIALIZER_RANGE,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        dtype="float32",
        bos_token_id=None,
        **ends,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(**ends)
    with _new_directory(out) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)


def _tokenizer(texts: Iterable[str], vocabulary: int, markers: str) -> Any:
    """A byte-level BPE tokenizer: any text can be encoded and comes back unchanged; digits stand alone."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [markers.TEXT_END, markers.TURN_BEGIN, markers.TURN_END]
    special += markers.MARKERS if markers == "special" else ()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary < len(alphabet) + len(special):
        least = len(alphabet) + len(special)
        raise ValueError(f"base.vocabulary = {vocabulary}: the bytes and the special tokens alone are {least}")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=markers.TURN_END,
        pad_token=markers.TEXT_END,
        extra_special_tokens=special[1:2] + special[3:],
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def fetch(source: str, revision: str | None, out: Path) -> None:
    """Bring a model to the directory `out`: a local directory's files, or a hub model's at a revision.

    Local files are copied.

    Raises:
        FileNotFoundError: neither such a directory nor such a hub model, or no safetensors weights in it.
    """
    if Path(source).is_dir():
        with _new_directory(out) as part:
            _take(Path(source), part, source)
        return
    if source.startswith(("/", "./", "../", "~")):
        raise FileNotFoundError(f"base.source = {source!r}: no such directory")
    from huggingface_hub import snapshot_download

    with _new_directory(out) as part:
        try:
            snapshot_download(source, revision=revision, local_dir=part, allow_patterns=list(TAKEN))
        except (OSError, ValueError) as error:  # the hub's own errors derive from one of these
            at = f" at revision {revision}" if revision else ""
            raise FileNotFoundError(f"base.source = {source!r}{at}: no such directory, and the hub: {error}") from error
        shutil.rmtree(part / ".cache", ignore_errors=True)  # the download's own bookkeeping
        _complete(part, source)


def _take(folder: Path, part: Path, source: str) -> None:
    for file in sorted(folder.iterdir()):
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in TAKEN):
            # never a hard link: DVC makes what it caches read-only, and an edit of the source would reach the cache
            shutil.copy2(file, part / file.name)
    _complete(part, source)


def _complete(folder: Path, source: str) -> None:
    for pattern in ("config.json", "*.safetensors", "tokenizer*"):
        if not any(folder.glob(pattern)):
            raise FileNotFoundError(f"base.source = {source!r}: no {pattern} there")


@contextmanager
def _new_directory(out: Path) -> Iterator[Path]:
    """A folder to write to that becomes `out` at the end, or vanishes where something fails."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(out, ignore_errors=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
