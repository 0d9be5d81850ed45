"""Model directories: what is missing, cut or no number is named in one line; nothing that comes with a model runs."""

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import DAMAGED, damaged

from vr.renderers.model_directory import (
    load_config,
    load_model,
    positions,
    require_finite,
    require_fit,
    require_model,
    vocabulary,
)
from vr.renderers.tokenizer import load_tokenizer, turn_ends


def copy(model: Path, out: Path) -> Path:
    return Path(shutil.copytree(model, out))


def test_a_whole_model_passes_every_check(tiny_model: Path) -> None:
    require_model(tiny_model)
    require_finite(tiny_model)
    require_fit(tiny_model)
    assert load_config(tiny_model).vocab_size == vocabulary(tiny_model) == len(load_tokenizer(tiny_model))
    assert positions(tiny_model) == 512


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_refused_in_one_line_that_names_the_file(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    model = damaged(tiny_model, tmp_path / "model", name)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load_tokenizer(model)  # the first that every engine's stage does; it checks the model
    said = str(caught.value)
    assert DAMAGED[name][1] in said and str(model) in said and "\n" not in said


def test_weights_in_several_files_are_all_looked_at(tiny_model: Path, tmp_path: Path) -> None:
    model = copy(tiny_model, tmp_path / "model")
    for part in (1, 2):
        shutil.copyfile(model / "model.safetensors", model / f"model-{part}.safetensors")
    (model / "model.safetensors").unlink()
    parts = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    require_model(model)
    os.truncate(model / "model-2.safetensors", 5000)
    with pytest.raises(ValueError, match=r"model-2\.safetensors: not a whole"):
        require_model(model)


@pytest.mark.parametrize(
    ("dtype", "bits", "finite"),
    [  # of the number: sign, exponent, fraction
        ("F32", 0x7F7FFFFF, True),  # the largest
        ("F32", 0x00000001, True),  # the smallest
        ("F32", 0x7F800000, False),  # infinity
        ("F32", 0xFF800000, False),  # minus infinity
        ("F32", 0x7FC00000, False),  # NaN
        ("F32", 0xFF800001, False),  # another NaN
        ("F16", 0x7BFF, True),
        ("F16", 0x7C00, False),
        ("F16", 0xFE00, False),
        ("BF16", 0x7F7F, True),
        ("BF16", 0x7F80, False),
        ("BF16", 0xFFC0, False),
        ("F64", 0x7FEFFFFFFFFFFFFF, True),
        ("F64", 0x7FF8000000000000, False),
        ("I32", 0x7FC00000, True),  # an integer
    ],
)
def test_one_weight_that_is_no_number_is_found_and_its_tensor_named(
    tmp_path: Path, dtype: str, bits: int, finite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vr.renderers.model_directory._PIECE", 16)  # bytes: the number is in a later piece
    size = {"F64": 8, "F32": 4, "I32": 4}.get(dtype, 2)
    numbers = [0] * 20 + [bits] + [0] * 3
    data = b"".join(number.to_bytes(size, "little") for number in numbers)
    entries: dict[str, Any] = {
        "__metadata__": {"format": "pt", "dtype": "F32"},
        "first": {"dtype": dtype, "shape": [4], "data_offsets": [0, 4 * size]},
        "none": {"dtype": dtype, "shape": [0], "data_offsets": [4 * size, 4 * size]},
        "second": {"dtype": dtype, "shape": [20], "data_offsets": [4 * size, 24 * size]},
    }
    head = json.dumps(entries).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    if finite:
        require_finite(tmp_path)
    else:
        with pytest.raises(
            ValueError, match=r"model\.safetensors: tensor 'second' has weights that are NaN or infinite"
        ):
            require_finite(tmp_path)


def test_the_bits_of_numbers_are_those_that_numpy_writes() -> None:
    assert np.float32("inf").view(np.uint32) == 0x7F800000
    assert np.float16("inf").view(np.uint16) == 0x7C00
    assert np.float64("inf").view(np.uint64) == 0x7FF0000000000000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "config.json: "),
        ({"model_type": "no_such_model"}, "no_such_model"),
        ({"model_type": "qwen3", "num_hidden_layers": "many"}, "num_hidden_layers"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}, "config.json: "),
    ],
)
def test_a_config_that_transformers_cannot_read_is_one_line_that_names_it(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError) as caught:
        load_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/config.json: ")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "read", "words"),
    [
        ({"model_type": "qwen3", "vocab_size": 0}, vocabulary, "vocab_size = 0"),
        ({"model_type": "qwen3", "max_position_embeddings": -1}, positions, "max_position_embeddings = -1"),
        ({"model_type": "mamba"}, positions, "max_position_embeddings = None"),
    ],
)
def test_a_config_without_a_size_that_is_needed_is_named(
    tmp_path: Path, content: dict[str, Any], read: Callable[[Path], int], words: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"config\.json: {words}"):
        read(tmp_path)


@pytest.mark.parametrize("read", [load_config, load_model, vocabulary])
def test_a_model_that_is_not_there_is_never_looked_for_on_the_hub(
    tmp_path: Path, read: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        read(tmp_path / "nowhere")


def change_tensors(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = load_file(model / "model.safetensors")
    change(tensors)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("load", [load_model, require_fit])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "lack 1 tensors of the config's model, first model.norm"),
        (
            lambda tensors: tensors.update({"model.norm.weight": np.ones(31, np.float32)}),
            "tensor model.norm.weight has shape (31,), the config's model (32,)",
        ),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused_not_made_up(
    tiny_model: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    words: str,
    load: Callable[[Path], object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = copy(tiny_model, tmp_path / "model")
    change_tensors(model, change)
    with pytest.raises(ValueError) as caught:
        load(model)
    assert str(caught.value).startswith(f"{model}: ") and words in str(caught.value)
    assert capfd.readouterr().err == ""  # no report, no progress bar


def test_code_that_comes_with_a_model_never_runs(tiny_model: Path, tmp_path: Path) -> None:
    model, witness = copy(tiny_model, tmp_path / "model"), tmp_path / "ran"
    (model / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass Config: pass\nclass Tokenizer: pass\n")
    for file, entry in (
        ("config.json", {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Config"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}),
    ):
        content = json.loads((model / file).read_text())
        (model / file).write_text(json.dumps(content | {"auto_map": entry}))
    assert load_config(model).model_type == "qwen3"  # transformers has code of its own for it
    assert len(load_tokenizer(model)) == vocabulary(tiny_model)
    assert not witness.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_bad_tokenizer_is_one_line_that_names_its_model(tiny_model: Path, tmp_path: Path, content: str) -> None:
    model = copy(tiny_model, tmp_path / "model")
    (model / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError) as caught:
        load_tokenizer(model)
    assert str(caught.value).startswith(f"{model}: its tokenizer cannot be read: ") and "\n" not in str(caught.value)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The bytes with a few bits flipped, some bytes taken out or put in, or cut; of weights in their head."""
    place = rng.randrange(min(len(content), 3000))
    flipped = bytes([content[place] ^ 1 << rng.randrange(8)])
    put_in = rng.choice([b"null", b"{", b"]", b'"', b"\xff", b"-", b"NaN", b"1e999", flipped])
    return rng.choice(
        [
            content[:place] + put_in + content[place + 1 :],
            content[:place] + put_in + content[place:],
            content[:place] + content[place + rng.randint(1, 40) :],
            content[:place],
        ]
    )


def test_a_model_of_which_some_bytes_were_changed_loads_or_is_refused_in_one_line(
    tiny_model: Path, tmp_path: Path
) -> None:
    rng, model = random.Random(0), copy(tiny_model, tmp_path / "model")
    refused: list[str] = []
    for file in [*sorted(model.glob("*.json")), model / "model.safetensors"] * 15:
        whole = file.read_bytes()
        file.write_bytes(mutate(whole, rng))
        try:
            tokenizer = load_tokenizer(model)
            for check in (require_fit, require_finite, vocabulary, positions):
                check(model)
            turn_ends(tokenizer)
        except (ValueError, FileNotFoundError) as error:
            refused.append(str(error))
        file.write_bytes(whole)
    assert len(refused) > 40
    assert all(str(model) in said and "\n" not in said for said in refused)
