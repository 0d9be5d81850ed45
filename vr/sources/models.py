"""Models from outside: a model directory here, or a model on the Hugging Face hub, brought into place and checked.

Only weights in safetensors and plain text files are taken: no pickles, no Python code. A model directory appears whole
or not at all. The hub is asked under the login that `hf auth login` keeps.

Not covered: whether the sampler knows a model's architecture.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from logging import getLogger
from pathlib import Path

import polars as pl

from vr.renderers.markers import MARKERS, conversation
from vr.renderers.model_directory import INDEX, WEIGHTS, in_one_line, require_finite, require_fit, require_model
from vr.renderers.tokenizer import encode, load_tokenizer, require_turn_markers
from vr.sources.hub_errors import hub_errors
from vr.tables.files import atomic_file, atomic_folder

log = getLogger(__name__)

TAKEN = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Files of a model that `fetch` takes."""
_HUB_ID = re.compile(r"\w[\w.-]*(?:/[\w.-]+)?")
_PROBE = conversation("Think.", f"Don't  add 1024.5 + x**2:\n\n\tcafé 漢字 {' '.join(MARKERS)}\n\nSo")
"""A text with what tokenizers split in different ways."""


def fetch(source: str, revision: str | None, out: Path, entry: str, *, base: Path | None = None) -> str | None:
    """Bring a model to the directory `out`: the files of a local directory, or those of a hub model at a revision.

    Args:
        revision: a hub model's commit, branch or tag; null: its main branch.
        entry: the section of params.yaml that names the model, for messages.
        base: a model directory whose tokenizer the model has to have; None: any will do.

    Returns:
        The commit that was taken; None for a directory other than a snapshot in the hub's cache.

    Raises:
        FileNotFoundError: neither such a directory nor such a hub model or revision, the hub cannot be reached or
            gives no access, or it is no whole model.
        ValueError: a file is a link out of the directory; a file cannot be read, the weights do not fit the config, or
            one of them is NaN or infinite; the tokenizer has no single tokens for the ends of turns, or is not that of
            `base`.
        OSError: the disk is full.
    """
    with atomic_folder(out) as part, _naming(entry, source, part):
        commit = _copy(Path(source), part) if Path(source).is_dir() else _download(source, revision, part)
        require_usable(part)
        if base is not None:
            _require_tokenizer_of(base, part)
        return commit


def record(source: str, commit: str | None, path: Path) -> None:
    """Write where a fetched model is from: a row of source and revision, the commit that was taken (`fetch`).

    Raises:
        OSError: the disk is full.
    """
    with atomic_file(path) as part:
        pl.DataFrame({"source": [source], "revision": [commit]}).write_csv(part)
    log.info("%s at %s, taken as it is", source, commit or "no revision (a local directory)")


def require_usable(model: Path) -> None:
    """Check what every stage needs of a model directory; reads all of its weights once.

    Raises:
        FileNotFoundError, ValueError: it cannot be used; the line says why.
    """
    require_turn_markers(load_tokenizer(model))
    require_fit(model)
    require_finite(model)


def _copy(source: Path, part: Path) -> str | None:
    """Copy the files of a model's directory, which is checked first; the commit, where the directory's name is one.

    A symbolic link is followed where it stays in the directory, or leads from a snapshot of the hub's cache to the
    blobs beside it. Any other would bring in a file that nobody named, and from there into DVC's cache and remote.
    """
    inside, snapshot = [os.path.realpath(source)], source.resolve().parent.name == "snapshots"
    if snapshot:
        inside.append(os.path.realpath(source.resolve().parent.parent / "blobs"))
    taken = [file for file in sorted(source.iterdir()) if _is_taken(file.name)]
    for file in taken:
        target = os.path.realpath(file)
        if not any(target.startswith(f"{folder}{os.sep}") for folder in inside):
            raise ValueError(f"{file.name} is a link out of it, to {target}")
    require_model(source)
    for file in filter(Path.is_file, taken):
        _copy_file(file, part / file.name)
    return source.resolve().name if snapshot else None


def _is_taken(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in TAKEN)


def _copy_file(file: Path, copy: Path) -> None:
    try:
        # Never a hard link: DVC makes its outputs read-only, and an edit of the source would reach DVC's cache.
        shutil.copyfile(file, copy)
    except OSError as error:
        raise OSError(f"{file} cannot be copied: {error}") from error


def _download(source: str, revision: str | None, part: Path) -> str:
    """Download a hub model's files; its commit. Their names are asked for first: pickles alone are no download."""
    if not _HUB_ID.fullmatch(source):
        raise FileNotFoundError("no such directory")
    from huggingface_hub import HfApi, snapshot_download

    try:
        with hub_errors(source, revision, "model"):
            found = HfApi().model_info(source, revision=revision)
            names = [file.rfilename for file in found.siblings or []]
            _require_safetensors(names)
            wanted = [name for name in names if "/" not in name and _is_taken(name)]
            snapshot_download(source, revision=found.sha, local_dir=part, allow_patterns=wanted)
    except OSError as error:
        if error.errno:  # the machine's: a full disk
            raise OSError(f"cannot be downloaded: {error}") from error
        raise
    shutil.rmtree(part / ".cache", ignore_errors=True)  # the download's own bookkeeping
    return str(found.sha)


def _require_safetensors(names: Sequence[str]) -> None:
    if WEIGHTS not in names and INDEX not in names:
        others = ", ".join(name for name in names if name.endswith((".bin", ".pt", ".pth", ".gguf")))
        raise FileNotFoundError(
            f"no {WEIGHTS} on the hub, {f'but {others}' if others else 'and no other weights'}: "
            "pickles and other formats are not read, name a copy in safetensors"
        )


def _require_tokenizer_of(base: Path, model: Path) -> None:
    """Check that a text has the same ids in both models: those of a trace go from one to the other.

    Raises:
        ValueError: they have other tokens, or split text in another way.
    """
    ours, theirs = load_tokenizer(base), load_tokenizer(model)
    known, found = ours.get_vocab(), theirs.get_vocab()
    why = f"its tokenizer is not that of {base}, whose token ids all models share (base.source)"
    for token in sorted(known.keys() | found.keys(), key=lambda token: (known.get(token, len(known)), token)):
        if known.get(token) != found.get(token):
            raise ValueError(f"{why}: {token!r} is {found.get(token)} there, {known.get(token)} here")
    if encode(theirs, _PROBE) != encode(ours, _PROBE):
        raise ValueError(f"{why}: it splits text in another way")


@contextmanager
def _naming(entry: str, source: str, part: Path) -> Iterator[None]:
    """Let an error about a model name the entry of params.yaml that it came from."""
    try:
        yield
    except (ValueError, OSError) as error:
        kind = next(kind for kind in (FileNotFoundError, OSError, ValueError) if isinstance(error, kind))
        raise kind(f"{entry}.source = {source!r}: {in_one_line(error).replace(str(part), source)}") from error
