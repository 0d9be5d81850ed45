"""Promises of models from outside: which files are taken, from where, and what is refused.

The hub here is a server of the tests' own (hub_server.py).
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Hub, hub_out_of_reach, hub_with
from tiny_models import DAMAGED, damaged, files_no_longer_than

from vr.renderers import markers
from vr.sources import models

TERMS = "its terms on its page on the hub"


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


def test_fetching_a_directory_takes_the_model_but_no_pickle_and_no_code(tiny_model: Path, tmp_path: Path) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    for name in ("pytorch_model.bin", "model.pt", "modeling_evil.py"):
        (source / name).write_text("evil")
    models.fetch(str(source), None, tmp_path / "out", "base")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {file.name for file in tiny_model.iterdir()}
    assert weights(tmp_path / "out") == weights(tiny_model)


def test_fetching_replaces_what_stood_there_before(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale.json").write_text("{}")
    models.fetch(str(tiny_model), None, tmp_path / "out", "base")
    assert not (tmp_path / "out" / "stale.json").exists()


def test_a_path_that_is_no_hub_name_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"base\.source = '/no/such/folder'"):
        models.fetch("/no/such/folder", None, tmp_path / "out", "base")


@pytest.mark.parametrize("name", [name for name in DAMAGED if name != "no folder"])
def test_a_damaged_source_is_one_line_that_names_it_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    source = damaged(tiny_model, tmp_path / "source", name)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        models.fetch(str(source), None, tmp_path / "out", "base")
    said = str(caught.value)
    assert said.startswith(f"base.source = {str(source)!r}: ") and DAMAGED[name][1] in said
    assert ".part" not in said and "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_damaged_source_is_refused_before_anything_is_copied(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = damaged(tiny_model, tmp_path / "source", "weights cut at the end")
    monkeypatch.setattr(shutil, "copyfile", lambda *_: pytest.fail("copied"))
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole"):
        models.fetch(str(source), None, tmp_path / "out", "base")


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
    tiny_model: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    change_tensors(source, change)
    with pytest.raises(ValueError) as caught:
        models.fetch(str(source), None, tmp_path / "out", "base")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"base.source = {str(source)!r}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret.txt", "../source2/secret.txt", "sub/../../secret.txt"])
def test_a_link_out_of_the_source_is_refused_and_named(tiny_model: Path, tmp_path: Path, target: str) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    (tmp_path / "source2").mkdir()
    (source / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "source2"):
        (folder / "secret.txt").write_text("key")
    (source / "notes.txt").symlink_to(target)
    with pytest.raises(ValueError, match=r"source': notes\.txt is a link out of it, to /.*(hostname|secret\.txt)$"):
        models.fetch(str(source), None, tmp_path / "out", "base")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/no/such/file", "/etc", "config.json/../../secret.txt"])
def test_a_link_to_nothing_or_to_a_folder_elsewhere_is_refused_too(
    tiny_model: Path, tmp_path: Path, target: str
) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    (source / "more.json").symlink_to(target)
    with pytest.raises(ValueError, match=r"more\.json is a link out of it"):
        models.fetch(str(source), None, tmp_path / "out", "base")


def test_links_within_the_source_are_followed_and_what_is_not_taken_may_point_anywhere(
    tiny_model: Path, tmp_path: Path
) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    (source / "real").mkdir()
    (source / "model.safetensors").rename(source / "real" / "weights")
    (source / "model.safetensors").symlink_to("real/weights")
    (source / "readme.md").symlink_to("/etc/hostname")
    (tmp_path / "name").symlink_to(source)  # the source itself is what the user names
    models.fetch(str(tmp_path / "name"), None, tmp_path / "out", "base")
    assert weights(tmp_path / "out") == weights(tiny_model)
    assert not any(file.is_symlink() for file in (tmp_path / "out").iterdir())
    assert not (tmp_path / "out" / "readme.md").exists()


def hub_snapshot(tiny_model: Path, root: Path) -> Path:
    """A model as it lies in the hub's cache: names in a snapshot that are links to blobs."""
    snapshot, blobs = root / "models--some--model" / "snapshots" / "abc", root / "models--some--model" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(tiny_model.iterdir()):
        shutil.copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def test_a_snapshot_of_the_hub_s_cache_is_a_source_and_its_links_lead_to_its_blobs_alone(
    tiny_model: Path, tmp_path: Path
) -> None:
    snapshot = hub_snapshot(tiny_model, tmp_path)
    models.fetch(str(snapshot), None, tmp_path / "out", "base")
    assert weights(tmp_path / "out") == weights(tiny_model)
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("abc")
    (snapshot / "more.txt").symlink_to("../../refs/main")
    with pytest.raises(ValueError, match=r"more\.txt is a link out of it"):
        models.fetch(str(snapshot), None, tmp_path / "out", "base")


def test_a_disk_that_fills_while_a_model_is_copied_is_one_line_that_names_it(tiny_model: Path, tmp_path: Path) -> None:
    with files_no_longer_than(5000), pytest.raises(OSError, match=r"base\.source = .* cannot be copied: ") as caught:
        models.fetch(str(tiny_model), None, tmp_path / "out", "base")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_without_a_single_token_for_the_end_of_a_turn_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    content = json.loads((source / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != markers.TURN_END]
    content["model"]["vocab"] = {name: i for name, i in content["model"]["vocab"].items() if name != markers.TURN_END}
    (source / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((source / "tokenizer_config.json").read_text())
    config["eos_token"] = markers.TEXT_END
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"base\.source = '.*source': .* no single token for <\|im_end\|>"):
        models.fetch(str(source), None, tmp_path / "out", "base")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_files_of_a_read_only_source_are_copied_writable_and_not_linked(tiny_model: Path, tmp_path: Path) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    for file in source.iterdir():
        file.chmod(0o444)  # as DVC leaves its outputs
    models.fetch(str(source), None, tmp_path / "out", "base")
    for file in (tmp_path / "out").iterdir():
        assert file.stat().st_nlink == 1
        assert file.stat().st_mode & 0o200


def base_model_copy(model: Path, out: Path) -> Path:
    return Path(shutil.copytree(model, out))


# The tokenizer that all models share


def test_a_model_with_the_tokenizer_of_the_base_is_taken(tiny_model: Path, tmp_path: Path) -> None:
    models.fetch(str(tiny_model), None, tmp_path / "out", "train_posterior", base=tiny_model)
    assert weights(tmp_path / "out") == weights(tiny_model)


def test_another_vocabulary_than_the_base_s_is_one_line_that_names_a_token(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    source = tiny_models["text"]
    with pytest.raises(ValueError) as caught:
        models.fetch(str(source), None, tmp_path / "out", "train_posterior", base=tiny_models["special"])
    said = str(caught.value)
    assert said.startswith(f"train_posterior.source = {str(source)!r}: its tokenizer is not that of ")
    assert "<|begin_of_thought|>" in said and "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_another_way_to_split_text_than_the_base_s_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = base_model_copy(tiny_model, tmp_path / "source")
    content = json.loads((source / "tokenizer.json").read_text())
    content["model"]["merges"] = []
    (source / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"train_initial\.source = .*: it splits text in another way$"):
        models.fetch(str(source), None, tmp_path / "out", "train_initial", base=tiny_model)


# The hub


@pytest.fixture
def the_hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    files = {file.name: file.read_bytes() for file in tiny_model.iterdir()}
    evil = {"pytorch_model.bin": b"evil", "modeling_evil.py": b"evil", "onnx/config.json": b"{}"}
    kept = {
        "o/open": files | evil,
        "o/pickled": {"config.json": b"{}", "pytorch_model.bin": b"evil"},
        "o/empty": {"README.md": b""},
        "o/gated": (401, "GatedRepo"),
        "o/none": (404, "RepoNotFound"),
        "o/revised": (404, "RevisionNotFound"),
        "o/broken": (503, ""),
    }
    with hub_with(kept, tmp_path / "cache", monkeypatch):
        yield


@pytest.mark.usefixtures("the_hub")
def test_a_hub_model_is_taken_at_its_commit_without_pickles_code_and_folders(tiny_model: Path, tmp_path: Path) -> None:
    assert models.fetch("o/open", "main", tmp_path / "out", "base") == COMMIT
    assert {file.name for file in (tmp_path / "out").iterdir()} == {file.name for file in tiny_model.iterdir()}
    assert weights(tmp_path / "out") == weights(tiny_model)
    assert not [path for path in Hub.asked if path.endswith((".bin", ".py")) or "onnx" in path]


@pytest.mark.usefixtures("the_hub")
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "o/gated",
            "the model is gated: accept its terms on its page on the hub, then log in here with `hf auth login`",
        ),
        ("o/none", "no such folder here, and no such model on the hub (a private one needs `hf auth login`)"),
        ("o/revised", "the model on the hub has no such revision"),
        ("o/broken", "the hub answers 503: try again later"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(source: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        models.fetch(source, "v1", tmp_path / "out", "published.vr-4b")
    assert str(caught.value) == f"published.vr-4b.source = {source!r}: {source} at v1: {says}"
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("the_hub")
@pytest.mark.parametrize(("source", "others"), [("o/pickled", "but pytorch_model.bin"), ("o/empty", "and no other")])
def test_a_hub_model_without_safetensors_is_refused_before_anything_is_downloaded(
    source: str, others: str, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no model\.safetensors on the hub, {others}.*: pickles .* not read"):
        models.fetch(source, None, tmp_path / "out", "base")
    assert Hub.asked == []


def test_a_hub_out_of_reach_is_one_line_that_asks_for_a_local_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_out_of_reach(monkeypatch)
    with pytest.raises(FileNotFoundError) as caught:
        models.fetch("no/such-model", "abc", tmp_path / "out", "train_initial")
    says = "no such folder here, and the hub cannot be reached (ConnectError): name a local copy"
    assert str(caught.value) == f"train_initial.source = 'no/such-model': no/such-model at abc: {says}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("the_hub")
def test_a_disk_that_fills_during_a_download_is_not_taken_for_a_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match=r"base\.source = 'o/open': cannot be downloaded: .*No space left") as caught:
        models.fetch("o/open", None, tmp_path / "out", "base")
    assert not isinstance(caught.value, FileNotFoundError)
    assert not (tmp_path / "out").exists()


# What is recorded


def test_a_snapshot_s_commit_is_recorded_and_a_directory_has_none(tiny_model: Path, tmp_path: Path) -> None:
    snapshot = hub_snapshot(tiny_model, tmp_path)
    for source, commit in ((snapshot, "abc"), (tiny_model, None)):
        assert models.fetch(str(source), None, tmp_path / "out", "base") == commit
    models.record("some/model", "abc", tmp_path / "record.csv")
    assert (tmp_path / "record.csv").read_text() == "source,revision\nsome/model,abc\n"
    models.record("./here", None, tmp_path / "record.csv")
    assert (tmp_path / "record.csv").read_text() == "source,revision\n./here,\n"
