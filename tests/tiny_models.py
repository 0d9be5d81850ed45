"""Models that tests share: tiny Qwen3 models with seeded random weights, one for each kind of marker.

They know nothing; what they write is noise. What is tested on them is that ids, spans and numbers are right.
"""

import json
import math
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vr.renderers import markers

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "vr" / "recipes" / "miniature.yaml"
"""The parameters that tests start from, whatever the working tree's params.yaml says."""
MARKERS = ["special", "text"]


def make_tokenizer(kind: str) -> Any:
    """A byte-level BPE tokenizer of about 320 tokens with Qwen's way of splitting text.

    kind: `special` makes each marker one token; `text` leaves them ordinary text of several tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [markers.TURN_BEGIN, markers.TURN_END, markers.TEXT_END]
    if kind == "special":
        specials += markers.MARKERS
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [
        f"First add {a} and {b}, then subtract {a * b}: the answer is {a + b}.\n" for a in range(9) for b in (3, 7, 9)
    ]
    # Tokens such as ".<|" and "|>.\n", which reach over a marker's ends, are what a real vocabulary has too.
    tokenizer.train_from_iterator([*corpus, "<|begin_of_text|>\n\n<|end_of_text|>", *["a.<|b|>.\n"] * 3], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=markers.TURN_END, pad_token=markers.TEXT_END, model_max_length=512
    )


def make_model(folder: Path, kind: str, *, tied: bool = True) -> Path:
    """A Qwen3 model of hidden size 32, 2 layers and 512 positions in a directory, with its tokenizer."""
    tokenizer = make_tokenizer(kind)
    model = new_model(len(tokenizer), tied, tokenizer.eos_token_id, tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_markov_model(folder: Path, kind: str, next_probs: dict[str, dict[str, float]]) -> Path:
    """A model with known probabilities: the next token depends on the last one alone.

    next_probs: for tokens given by their text, the probabilities of the tokens that may follow; "" stands for all
    other last tokens. What is not named has probability e^-60.

    The layers add nothing, so the head sees the last token's embedding after the norm. Embeddings are one-hot by
    kind of token, which the norm scales by sqrt(hidden size); the head's column of a kind holds its logits.
    """
    import torch

    tokenizer = make_tokenizer(kind)
    model = new_model(len(tokenizer), False, tokenizer.eos_token_id, tokenizer.pad_token_id)
    hidden = model.config.hidden_size
    kinds = sorted(next_probs)  # "" is the first
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings, head = model.model.embed_tokens.weight.zero_(), model.lm_head.weight.fill_(-60 / hidden**0.5)
        embeddings[:, kinds.index("")] = 1
        for kind, last in enumerate(kinds):
            if last:
                embeddings[token_id(tokenizer, last)] = torch.nn.functional.one_hot(torch.tensor(kind), hidden).float()
            for text, probability in next_probs[last].items():
                head[token_id(tokenizer, text), kind] = math.log(probability) / hidden**0.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


Damage = Callable[[Path], object]


def _cut(name: str, n_bytes: int) -> Damage:
    return lambda model: os.truncate(model / name, n_bytes)


def _write(name: str, content: str | bytes) -> Damage:
    return lambda model: (model / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _folder_for(name: str) -> Damage:
    def replace(model: Path) -> None:
        (model / name).unlink()
        (model / name).mkdir()

    return replace


def _as_pickle(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _index(content: Any) -> Damage:
    def write(model: Path) -> None:
        (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
        (model / "model.safetensors.index.json").write_text(json.dumps(content))

    return write


DAMAGED: dict[str, tuple[Damage, str]] = {
    "no folder": (shutil.rmtree, "no such model"),
    "no config": (lambda model: (model / "config.json").unlink(), "no such model"),
    "a folder for config": (_folder_for("config.json"), "no such model"),
    "an empty config": (_write("config.json", ""), "config.json: not JSON"),
    "half a config": (_cut("config.json", 40), "config.json: not JSON"),
    "a config of other bytes": (_write("config.json", b"\xff\xfe\x00"), "config.json: not JSON"),
    "a config nested too deeply": (_write("config.json", "[" * 100_000), "config.json: not JSON"),
    "a config that is a list": (_write("config.json", "[1]"), "config.json: should be names and values, is list"),
    "half a generation config": (_cut("generation_config.json", 30), "generation_config.json: not JSON"),
    "a generation config of text": (_write("generation_config.json", '"x"'), "generation_config.json: should be names"),
    "an empty tokenizer config": (_cut("tokenizer_config.json", 0), "tokenizer_config.json: not JSON"),
    "an adapter": (
        _write("adapter_config.json", '{"base_model_name_or_path": "other/model"}'),
        "adapter_config.json: an adapter",
    ),
    "no weights": (lambda model: (model / "model.safetensors").unlink(), "no model.safetensors there"),
    "a pickle alone": (_as_pickle, "no model.safetensors there (other formats"),
    "weights under another name": (_index({}), "model.safetensors.index.json: no weight_map"),
    "an index of no JSON": (_index(None), "model.safetensors.index.json: should be names and values"),
    "an index of a missing part": (
        _index({"weight_map": {"a": "model-00002-of-00002.safetensors"}}),
        "model.safetensors.index.json: model-00002-of-00002.safetensors is missing",
    ),
    "an index of a file elsewhere": (
        _index({"weight_map": {"a": "../other/model.safetensors"}}),
        "'../other/model.safetensors' is not the name of a file beside it",
    ),
    "an index of numbers": (_index({"weight_map": {"a": 1}}), "model.safetensors.index.json: no weight_map"),
    "empty weights": (_cut("model.safetensors", 0), "model.safetensors: not a whole safetensors file"),
    "weights cut in the head": (_cut("model.safetensors", 100), "model.safetensors: not a whole safetensors file"),
    "weights cut at the end": (_cut("model.safetensors", 100_000), "model.safetensors: not a whole safetensors file"),
    "weights of zeros": (_write("model.safetensors", bytes(5000)), "model.safetensors: not a whole safetensors file"),
    "weights of other bytes": (_write("model.safetensors", b"\x80\x05" * 99), "not a whole safetensors file"),
    "no tokenizer": (lambda model: [file.unlink() for file in model.glob("tokenizer*")], "no tokenizer there"),
}
"""What may happen to a model directory, and what is then said of it, in one line and before an engine is started."""


def damaged(model: Path, out: Path, name: str) -> Path:
    """A copy of the model to which what DAMAGED describes has happened."""
    shutil.copytree(model, out)
    DAMAGED[name][0](out)
    return out


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """Let every write beyond that fail, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def token_id(tokenizer: Any, text: str) -> int:
    """The id of a text that is one token."""
    (found,) = tokenizer.encode(text, add_special_tokens=False)
    return found


def new_model(vocabulary: int, tied: bool, eos: int | None = None, pad: int | None = None) -> Any:
    """The tiny Qwen3 model itself, in float32."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        rms_norm_eps=1e-12,
        tie_word_embeddings=tied,
        eos_token_id=eos,
        pad_token_id=pad,
        initializer_range=0.3,  # wide, so that the distributions are far from uniform
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen3ForCausalLM(config).float().eval()
