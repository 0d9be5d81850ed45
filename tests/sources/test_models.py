"""Promises of the base model: the miniature's tokenizer and weights, and fetching."""

import json
import math
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML
from tiny_models import DAMAGED, RECIPE, damaged

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


def test_a_disk_that_fills_during_a_download_is_not_taken_for_a_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match=r"base\.source = 'some/model': cannot be downloaded: .*No space left") as caught:
        models.fetch("some/model", None, tmp_path / "out")
    assert not isinstance(caught.value, FileNotFoundError)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_hub_name_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"base\.source = '/no/such/folder'"):
        models.fetch("/no/such/folder", None, tmp_path / "out")


@pytest.mark.parametrize("name", [name for name in DAMAGED if name != "no folder"])
def test_a_damaged_source_is_one_line_that_names_it_and_leaves_nothing(
    special: Path, tmp_path: Path, name: str
) -> None:
    source = damaged(special, tmp_path / "source", name)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        models.fetch(str(source), None, tmp_path / "out")
    said = str(caught.value)
    assert said.startswith(f"base.source = {str(source)!r}: ") and DAMAGED[name][1] in said
    assert ".part" not in said and "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_damaged_source_is_refused_before_anything_is_copied(
    special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = damaged(special, tmp_path / "source", "weights cut at the end")
    monkeypatch.setattr(shutil, "copyfile", lambda *_: pytest.fail("copied"))
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole"):
        models.fetch(str(source), None, tmp_path / "out")


def change_tensors(source: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})


def set_one(value: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_one(math.nan), "tensor 'model.layers.1.mlp.up_proj.weight' has weights that are NaN or infinite"),
        (set_one(-math.inf), "tensor 'model.layers.1.mlp.up_proj.weight' has weights that are NaN or infinite"),
        (lambda tensors: tensors.pop("model.norm.weight"), "lack 1 tensors of the config's model, first model.norm"),
        (
            lambda tensors: tensors.update({"model.norm.weight": tensors["model.norm.weight"][:31].clone()}),
            "tensor model.norm.weight has shape (31,), the config's model (32,)",
        ),
    ],
)
def test_weights_that_are_no_numbers_or_not_the_config_s_are_refused(
    special: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    source = base_model_copy(special, tmp_path / "source")
    change_tensors(source, change)
    with pytest.raises(ValueError) as caught:
        models.fetch(str(source), None, tmp_path / "out")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"base.source = {str(source)!r}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret.txt", "../source2/secret.txt", "sub/../../secret.txt"])
def test_a_link_out_of_the_source_is_refused_and_named(special: Path, tmp_path: Path, target: str) -> None:
    source = base_model_copy(special, tmp_path / "source")
    (tmp_path / "source2").mkdir()
    (source / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "source2"):
        (folder / "secret.txt").write_text("key")
    (source / "notes.txt").symlink_to(target)
    with pytest.raises(ValueError, match=r"source': notes\.txt is a link out of it, to /.*(hostname|secret\.txt)$"):
        models.fetch(str(source), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/no/such/file", "/etc", "config.json/../../secret.txt"])
def test_a_link_to_nothing_or_to_a_folder_elsewhere_is_refused_too(special: Path, tmp_path: Path, target: str) -> None:
    source = base_model_copy(special, tmp_path / "source")
    (source / "more.json").symlink_to(target)
    with pytest.raises(ValueError, match=r"more\.json is a link out of it"):
        models.fetch(str(source), None, tmp_path / "out")


def test_links_within_the_source_are_followed_and_what_is_not_taken_may_point_anywhere(
    special: Path, tmp_path: Path
) -> None:
    source = base_model_copy(special, tmp_path / "source")
    (source / "real").mkdir()
    (source / "model.safetensors").rename(source / "real" / "weights")
    (source / "model.safetensors").symlink_to("real/weights")
    (source / "readme.md").symlink_to("/etc/hostname")
    (tmp_path / "name").symlink_to(source)  # the source itself is what the user names
    models.fetch(str(tmp_path / "name"), None, tmp_path / "out")
    assert weights(tmp_path / "out") == weights(special)
    assert not any(file.is_symlink() for file in (tmp_path / "out").iterdir())
    assert not (tmp_path / "out" / "readme.md").exists()


def hub_snapshot(special: Path, root: Path) -> Path:
    """A model as it lies in the hub's cache: names in a snapshot that are links to blobs."""
    snapshot, blobs = root / "models--some--model" / "snapshots" / "abc", root / "models--some--model" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(special.iterdir()):
        shutil.copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def test_a_snapshot_of_the_hub_s_cache_is_a_source_and_its_links_lead_to_its_blobs_alone(
    special: Path, tmp_path: Path
) -> None:
    snapshot = hub_snapshot(special, tmp_path)
    models.fetch(str(snapshot), None, tmp_path / "out")
    assert weights(tmp_path / "out") == weights(special)
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("abc")
    (snapshot / "more.txt").symlink_to("../../refs/main")
    with pytest.raises(ValueError, match=r"more\.txt is a link out of it"):
        models.fetch(str(snapshot), None, tmp_path / "out")


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """Let every write beyond that fail, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("n_bytes", [0, 5000, 12_000])  # in the config, the weights, the tokenizer
def test_a_full_disk_is_one_line_that_names_the_model_and_leaves_nothing(
    texts: list[str], tmp_path: Path, n_bytes: int
) -> None:
    with files_no_longer_than(n_bytes), pytest.raises(OSError, match=r"out: cannot be written: ") as caught:
        make(texts, tmp_path / "out", hidden_size=4, layers=1)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_a_model_is_copied_is_one_line_that_names_it(special: Path, tmp_path: Path) -> None:
    with files_no_longer_than(5000), pytest.raises(OSError, match=r"base\.source: .* cannot be copied: ") as caught:
        models.fetch(str(special), None, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


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
