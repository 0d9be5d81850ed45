"""The embedded miniature's base model: a Qwen3 of random weights, with a byte-level BPE tokenizer of its own.

Not covered: pretraining (the miniature knows nothing before its first training).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dataframely as dy

from vr.renderers import markers
from vr.renderers.model_directory import in_one_line
from vr.renderers.tokenizer import turn_ends
from vr.settings.params import Base
from vr.tables.files import atomic_folder
from vr.tables.schemas import Problems

POSITIONS = 1024
HEAD_SIZE = 32
"""The smallest that vLLM's attention on CPUs has; as in Qwen3, heads need not add up to the hidden size."""
INITIALIZER_RANGE = 0.05
"""Qwen's own 0.02 suits wide models; narrow ones learn much faster from larger first weights."""

# Qwen's own split: words with one leading space, each digit alone, punctuation, line ends, other spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tokenizer_texts(problems: dy.DataFrame[Problems], wordings: Mapping[str, str]) -> Iterator[str]:
    """What the miniature's tokenizer learns from: every problem in pi's words, and in q's words under each template.

    Args:
        wordings: the system prompts `reasoner`, `posterior_A` and `posterior_B`.

    Raises:
        ValueError: a solution without its markers.
    """
    for question, system, solution in problems.select("question", "system", "solution").iter_rows():
        thought, answer = markers.split_response(solution)
        conversation = markers.conversation(system or wordings["reasoner"], question)
        yield conversation + markers.join_response(thought, answer) + markers.TURN_END
        for template in ("A", "B"):
            conversation = markers.conversation(wordings[f"posterior_{template}"], question)
            lead = conversation + markers.posterior_lead(answer, template)
            _, end = markers.trace_markers(template)
            yield lead + markers.ended(thought, end) + markers.BLANK + markers.TURN_END


def make_miniature(texts: Iterable[str], out: Path, settings: Base) -> None:
    """Write a small Qwen3 of random weights, with a tokenizer learnt from `texts`, to the directory `out`.

    The tokenizer follows from the texts alone and has at most `settings.vocabulary` tokens; the weights also follow
    from `settings.seed`. Generation ends at the end of a turn or of a text.

    Raises:
        ValueError: the vocabulary has no room for the bytes.
        OSError: the disk is full.
    """
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    tokenizer = _tokenizer(texts, settings.vocabulary, settings.markers)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=2 * settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        head_dim=HEAD_SIZE,
        initializer_range=INITIALIZER_RANGE,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        dtype="float32",
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=turn_ends(tokenizer), pad_token_id=tokenizer.pad_token_id)
    with atomic_folder(out) as part:
        try:
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        except Exception as error:  # of a full disk each library raises an error of its own class
            raise OSError(f"{out}: cannot be written: {in_one_line(error)}") from error


def _tokenizer(texts: Iterable[str], vocabulary: int, kind: str) -> Any:
    """A byte-level BPE tokenizer: any text can be encoded and comes back unchanged; digits stand alone.

    Args:
        kind: `special` makes each marker one token, `text` leaves them ordinary text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [markers.TEXT_END, markers.TURN_BEGIN, markers.TURN_END]
    special += markers.MARKERS if kind == "special" else ()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    least = len(alphabet) + len(special)
    if vocabulary < least:
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
