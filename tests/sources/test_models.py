"""Promises of the base model: the miniature's tokenizer and weights, and fetching."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML
from tiny_models import RECIPE

from vr.renderers import markers
from vr.renderers.tokenizer import decode, encode, load_tokenizer
from vr.settings.params import Base
from vr.sources import models

WORDINGS = {"reasoner": "Think.", "posterior_A": "Explain A.", "posterior_B": "Explain B."}
ODD_TEXT = "héllo 🤖 \x00\r\n\t 12345  ünï ''  don't 漢字 <|begin_of_thought|> x\u0301  \n\n"


def settings(**changes: Any) -> Base:
    small = {"hidden_size": 32, "layers": 2, "heads": 1, "vocabulary": 400}
    return Base(**YAML(typ="safe").load(RECIPE)["base"] | small | changes)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    def solution(n: int) -> str:
        thought = f"Start at {n}. Then add {n + 3}, which gives {2 * n + 3}; subtract {n % 7}."
        return markers.join_response(thought, f"The answer is \\boxed{{{2 * n + 3 - n % 7}}}.")

    questions = [f"What is {n} + {n + 3} - {n % 7}? Give def f(x)." for n in range(60)]
    problems = pl.DataFrame(
        {"question": questions, "system": [None, "Own words."] * 30, "solution": [solution(n) for n in range(60)]}
    )
    return list(models.tokenizer_texts(problems, WORDINGS))  # type: ignore[arg-type]  # its key is not needed


def make(texts: list[str], out: Path, **changes: Any) -> Path:
    models.make_miniature(texts, out, settings(**changes))
    return out


@pytest.fixture(scope="module")
def special(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(texts, tmp_path_factory.mktemp("special") / "base")


@pytest.fixture(scope="module")
def text(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(texts, tmp_path_factory.mktemp("text") / "base", markers="text")


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


def test_each_problem_gives_the_text_of_pi_and_of_q_under_both_templates(texts: list[str]) -> None:
    assert len(texts) == 180
    in_pi, in_q_a, in_q_b = texts[:3]
    assert markers.split_response(in_pi)
    assert in_pi.startswith(markers.conversation("Think.", "What is 0 + 3 - 0? Give def f(x)."))
    assert texts[3].startswith(markers.conversation("Own words.", "What is 1 + 4 - 1? Give def f(x)."))
    assert "Explain A." in in_q_a and "Explain B." in in_q_b
    assert in_q_a.index(markers.BEGIN_SOLUTION) < in_q_a.index(markers.BEGIN_EXPLANATION)
    assert in_q_b.index(markers.BEGIN_SOLUTION) < in_q_b.index(markers.BEGIN_THOUGHT)
    assert all(text.endswith(markers.TURN_END) for text in texts)


@pytest.mark.parametrize("kind", ["special", "text"])
def test_any_text_comes_back_unchanged(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = load_tokenizer(request.getfixturevalue(kind))
    assert decode(tokenizer, encode(tokenizer, ODD_TEXT)) == ODD_TEXT
    every_character = "".join(map(chr, [*range(0x3000), *range(0x1F600, 0x1F650)]))
    assert decode(tokenizer, encode(tokenizer, every_character)) == every_character


def test_every_digit_is_a_token_of_its_own(special: Path) -> None:
    tokenizer = load_tokenizer(special)
    assert [decode(tokenizer, [i]) for i in encode(tokenizer, "10+2=12")] == list("10+2=12")


def test_markers_are_one_token_or_several_as_asked(special: Path, text: Path) -> None:
    one, several = load_tokenizer(special), load_tokenizer(text)
    for marker in markers.MARKERS:
        assert len(encode(one, marker)) == 1
        assert len(encode(several, marker)) > 1


def test_turns_end_in_one_token_that_is_the_end_for_the_tokenizer_the_model_and_generation(
    special: Path, text: Path
) -> None:
    from transformers import AutoConfig, GenerationConfig

    for model in (special, text):
        tokenizer = load_tokenizer(model)
        assert tokenizer.encode(markers.TURN_END) == [tokenizer.eos_token_id]
        assert tokenizer.encode(markers.TEXT_END) == [tokenizer.pad_token_id]
        config, generation = AutoConfig.from_pretrained(model), GenerationConfig.from_pretrained(model)
        assert config.eos_token_id == tokenizer.eos_token_id
        assert generation.eos_token_id == [tokenizer.eos_token_id, tokenizer.pad_token_id]
        assert config.pad_token_id == generation.pad_token_id == tokenizer.pad_token_id


def test_the_chat_template_writes_the_conversation_that_prompts_writes(special: Path) -> None:
    turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1"}]
    written = load_tokenizer(special).apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert written == markers.conversation("Think.", "1+1")


def test_the_saved_model_loads_and_gives_a_finite_loss(special: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(special, trust_remote_code=False)
    tokenizer = load_tokenizer(special)
    assert model.config.vocab_size == len(tokenizer) <= 400
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    ids = torch.tensor([tokenizer.encode("Compute 1+1.")])
    assert torch.isfinite(model(input_ids=ids, labels=ids).loss)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(
    texts: list[str], special: Path, tmp_path: Path
) -> None:
    same, other = make(texts, tmp_path / "same"), make(texts, tmp_path / "other", seed=1)
    assert weights(same) == weights(special) != weights(other)
    assert (same / "tokenizer.json").read_text() == (special / "tokenizer.json").read_text()
    assert (other / "tokenizer.json").read_text() == (special / "tokenizer.json").read_text()


def test_making_a_model_leaves_the_callers_random_state_alone(texts: list[str], tmp_path: Path) -> None:
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    make(texts, tmp_path / "base")
    assert torch.equal(before, torch.get_rng_state())


def test_a_vocabulary_without_room_for_the_bytes_is_an_error_that_names_it(texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocabulary = 260"):
        models.make_miniature(texts, tmp_path / "base", settings().model_copy(update={"vocabulary": 260}))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_no_model_and_no_litter(
    texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerFast

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        make(texts, tmp_path / "base")
    assert list(tmp_path.iterdir()) == []


def test_fetching_a_directory_takes_the_model_but_no_pickle_and_no_code(special: Path, tmp_path: Path) -> None:
    source = base_model_copy(special, tmp_path / "source")
    for name in ("pytorch_model.bin", "model.pt", "modeling_evil.py"):
        (source / name).write_text("evil")
    models.fetch(str(source), None, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {file.name for file in special.iterdir()}
    assert weights(tmp_path / "out") == weights(special)


def test_fetching_replaces_what_stood_there_before(special: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale.json").write_text("{}")
    models.fetch(str(special), None, tmp_path / "out")
    assert not (tmp_path / "out" / "stale.json").exists()


def test_a_missing_source_is_one_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*_: Any, **__: Any) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(FileNotFoundError, match=r"base\.source = 'no/such-model' at revision abc"):
        models.fetch("no/such-model", "abc", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_hub_name_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"base\.source = '/no/such/folder'"):
        models.fetch("/no/such/folder", None, tmp_path / "out")


def test_a_directory_without_safetensors_is_an_error(special: Path, tmp_path: Path) -> None:
    source = base_model_copy(special, tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no \*\.safetensors there"):
        models.fetch(str(source), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_hub_is_asked_for_safetensors_and_text_files_alone(
    special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def download(source: str, *, local_dir: Path, **options: Any) -> None:
        asked.update(options, source=source)
        (local_dir / ".cache").mkdir()
        for file in special.iterdir():
            (local_dir / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    models.fetch("some/model", "abc", tmp_path / "out")
    assert (asked["source"], asked["revision"]) == ("some/model", "abc")
    assert not any(pattern.endswith((".bin", ".pt", ".py")) or pattern == "*" for pattern in asked["allow_patterns"])
    assert weights(tmp_path / "out") == weights(special)
    assert not (tmp_path / "out" / ".cache").exists()


def test_a_tokenizer_without_a_single_token_for_the_end_of_a_turn_is_refused(special: Path, tmp_path: Path) -> None:
    source = base_model_copy(special, tmp_path / "source")
    content = json.loads((source / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != markers.TURN_END]
    content["model"]["vocab"] = {name: i for name, i in content["model"]["vocab"].items() if name != markers.TURN_END}
    (source / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((source / "tokenizer_config.json").read_text())
    config["eos_token"] = markers.TEXT_END
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"base\.source = '.*source': .* no single token for <\|im_end\|>"):
        models.fetch(str(source), None, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_files_of_a_read_only_source_are_copied_writable_and_not_linked(special: Path, tmp_path: Path) -> None:
    source = base_model_copy(special, tmp_path / "source")
    for file in source.iterdir():
        file.chmod(0o444)  # as DVC leaves its outputs
    models.fetch(str(source), None, tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert file.stat().st_nlink == 1
        assert file.stat().st_mode & 0o200


def base_model_copy(model: Path, out: Path) -> Path:
    return Path(shutil.copytree(model, out))
