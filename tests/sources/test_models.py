"""Promises of the base model: the miniature's tokenizer and weights, and fetching."""

from pathlib import Path
from typing import Any

import pytest

from vr.renderers import markers, renderer
from vr.sources import miniature, models

SHAPE: dict[str, Any] = {"hidden_size": 32, "layers": 2, "heads": 1, "vocabulary": 400, "markers": "special", "seed": 0}
ODD_TEXT = "héllo 🤖 \x00\r\n\t 12345  ünï ''  don't 漢字 <|begin_of_thought|> x\u0301  \n\n"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    problems = miniature.problems(train=60, dev=1, test=1, programs=0.2, slips=0.3, guesses=0.3, seed=0)
    return list(models.tokenizer_texts(problems, "Think.", "Explain.", "B"))


def make(texts: list[str], out: Path, **changes: Any) -> Path:
    models.make_miniature(texts, out, **SHAPE | changes)
    return out


@pytest.fixture(scope="module")
def special(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(texts, tmp_path_factory.mktemp("special") / "base")


@pytest.fixture(scope="module")
def text(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(texts, tmp_path_factory.mktemp("text") / "base", markers="text")


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


def test_each_train_problem_gives_the_text_of_both_conversations(texts: list[str]) -> None:
    assert len(texts) == 120
    assert markers.split_response(texts[0])
    assert texts[1].index(markers.BEGIN_SOLUTION) < texts[1].index(markers.BEGIN_THOUGHT)
    assert all(text.endswith(markers.TURN_END) for text in texts)


@pytest.mark.parametrize("markers", ["special", "text"])
def test_any_text_comes_back_unchanged(markers: str, request: pytest.FixtureRequest) -> None:
    coder = renderer.Renderer(renderer.load(request.getfixturevalue(markers)))
    assert coder.decode(coder.encode(ODD_TEXT)) == ODD_TEXT
    every_character = "".join(map(chr, [*range(0x3000), *range(0x1F600, 0x1F650)]))
    assert coder.decode(coder.encode(every_character)) == every_character


def test_every_digit_is_a_token_of_its_own(special: Path) -> None:
    coder = renderer.Renderer(renderer.load(special))
    assert [coder.decode([i]) for i in coder.encode("10+2=12")] == list("10+2=12")


def test_markers_are_one_token_or_several_as_asked(special: Path, text: Path) -> None:
    for marker in markers.MARKERS:
        assert len(renderer.Renderer(renderer.load(special)).encode(marker)) == 1
        assert len(renderer.Renderer(renderer.load(text)).encode(marker)) > 1


def test_turns_end_in_one_token_that_is_the_end_of_text_for_the_model_too(special: Path, text: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    for model in (special, text):
        tokenizer = renderer.load(model)
        assert tokenizer.encode(markers.TURN_END) == [tokenizer.eos_token_id]
        assert tokenizer.encode(markers.TEXT_END) == [tokenizer.pad_token_id]
        for config in (AutoConfig.from_pretrained(model), GenerationConfig.from_pretrained(model)):
            assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


def test_the_chat_template_writes_the_conversation_that_prompts_writes(special: Path) -> None:
    turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1"}]
    written = renderer.load(special).apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert written == markers.conversation("Think.", "1+1")


def test_the_saved_model_loads_and_gives_a_finite_loss(special: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(special, trust_remote_code=False)
    tokenizer = renderer.load(special)
    assert model.config.vocab_size == len(tokenizer) <= SHAPE["vocabulary"]
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
        make(texts, tmp_path / "base", vocabulary=260)
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


def base_model_copy(model: Path, out: Path) -> Path:
    out.mkdir()
    for file in model.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    return out
