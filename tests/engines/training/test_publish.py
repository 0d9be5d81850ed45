"""A published model is the base but for its weights, their number type, and how turns end."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from tiny_models import make_markov_model

from vr.engines.training.publish import publish
from vr.renderers import markers
from vr.renderers.tokenizer import load_tokenizer, turn_ends


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A base from elsewhere that writes "a" or ends its turn with equal probability, and knows of no turn's end."""
    base = make_markov_model(tmp_path / "foreign", "special", {"": {"a": 0.5, markers.TURN_END: 0.5}})
    (base / "generation_config.json").unlink()
    for name, entries in {
        "config.json": {"eos_token_id": None, "dtype": "bfloat16"},
        "tokenizer_config.json": {"eos_token": {"content": markers.TEXT_END, "special": True}},
        "special_tokens_map.json": {"eos_token": markers.TEXT_END},
    }.items():
        old = json.loads((base / name).read_text()) if (base / name).is_file() else {}
        (base / name).write_text(json.dumps(old | entries))
    return base


def published(base: Path, out: Path) -> Path:
    publish(base, base, out, precision="fp32", turn_ends=turn_ends(load_tokenizer(base)))
    return out


def test_config_generation_config_and_tokenizer_name_the_end_of_a_turn(foreign: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    assert load_tokenizer(foreign).eos_token == markers.TEXT_END
    out = published(foreign, tmp_path / "out")
    tokenizer = load_tokenizer(out)
    turn_end, text_end = tokenizer.convert_tokens_to_ids([markers.TURN_END, markers.TEXT_END])
    assert tokenizer.eos_token_id == turn_end
    assert AutoConfig.from_pretrained(out).eos_token_id == turn_end
    assert GenerationConfig.from_pretrained(out).eos_token_id == [turn_end, text_end]
    assert json.loads((out / "special_tokens_map.json").read_text())["eos_token"] == markers.TURN_END
    assert json.loads((out / "config.json").read_text())["dtype"] == "float32"


def test_stock_generate_stops_at_the_end_of_a_turn(foreign: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    out = published(foreign, tmp_path / "out")
    tokenizer = load_tokenizer(out)
    prompt = tokenizer("a", return_tensors="pt")
    torch.manual_seed(0)
    for model, ends in ((out, True), (foreign, False)):
        loaded = AutoModelForCausalLM.from_pretrained(model)
        ids = loaded.generate(**prompt, do_sample=True, top_k=0, max_new_tokens=40, pad_token_id=0)[0].tolist()
        turn_end = tokenizer.eos_token_id
        # 40 tokens without an end have a probability of 2^-40
        assert (ids.index(turn_end) == len(ids) - 1) is ends


def test_what_the_base_says_of_generation_stays_but_for_the_ends(tiny_model: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    (base / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "eos_token_id": 7}))
    (base / "README.md").write_text("not part of a model")
    out = published(base, tmp_path / "out")
    ends = turn_ends(load_tokenizer(base))
    assert json.loads((out / "generation_config.json").read_text()) == {"temperature": 0.6, "eos_token_id": ends}
    assert {path.name for path in out.iterdir()} == {path.name for path in tiny_model.iterdir()}
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_publishing_over_a_read_only_model_in_a_cache_leaves_the_cache_alone(tiny_model: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(tiny_model, tmp_path / "out"))
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in out.iterdir():
        file.chmod(0o444)
        (cache / file.name).hardlink_to(file)  # as DVC links its outputs
    before = {file.name: file.read_bytes() for file in cache.iterdir()}
    trained = tmp_path / "trained"
    trained.mkdir()
    new_weights = save({"a": torch.ones(3)})
    (trained / "model.safetensors").write_bytes(new_weights)
    publish(trained, tiny_model, out, precision="fp32", turn_ends=[1, 2])
    shutil.rmtree(trained)  # as the work folder is
    assert (out / "model.safetensors").read_bytes() == new_weights
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == before


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (
            save({"a": torch.ones(3), "b": torch.tensor([1, math.nan])}),
            "tensor 'b' has weights that are NaN or infinite",
        ),
        (
            save({"a": torch.tensor([math.inf], dtype=torch.bfloat16)}),
            "tensor 'a' has weights that are NaN or infinite",
        ),
        (save({"a": torch.ones(3)})[:-1], "not a whole safetensors file"),
    ],
)
def test_weights_that_are_no_numbers_are_not_published(
    tiny_model: Path, tmp_path: Path, weights: bytes, words: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=rf"out: the training has diverged: .*run/model\.safetensors: {words}"):
        publish(tmp_path / "run", tiny_model, tmp_path / "out", precision="fp32", turn_ends=[1, 2])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_full_disk_is_an_error_that_names_the_model(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"out: cannot be written: .*No space left"):
        publish(tiny_model, tiny_model, tmp_path / "out", precision="fp32", turn_ends=[1, 2])
    assert list(tmp_path.iterdir()) == []
