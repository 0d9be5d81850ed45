"""Promises of the miniature's base model: its tokenizer and its weights."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML
from tiny_models import RECIPE, files_no_longer_than

from vr.renderers import markers
from vr.renderers.tokenizer import decode, encode, load_tokenizer
from vr.settings.params import Base
from vr.sources import miniature_model

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
    return list(miniature_model.tokenizer_texts(problems, WORDINGS))  # type: ignore[arg-type]  # its key is not needed


def make(texts: list[str], out: Path, **changes: Any) -> Path:
    miniature_model.make_miniature(texts, out, settings(**changes))
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
        miniature_model.make_miniature(texts, tmp_path / "base", settings().model_copy(update={"vocabulary": 260}))
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


@pytest.mark.parametrize("n_bytes", [0, 5000, 12_000])  # in the config, the weights, the tokenizer
def test_a_full_disk_is_one_line_that_names_the_model_and_leaves_nothing(
    texts: list[str], tmp_path: Path, n_bytes: int
) -> None:
    with files_no_longer_than(n_bytes), pytest.raises(OSError, match=r"out: cannot be written: ") as caught:
        make(texts, tmp_path / "out", hidden_size=4, layers=1)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
