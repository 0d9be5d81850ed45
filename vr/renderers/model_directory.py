"""A model directory's config.json and weights: are they whole, and what does the config say?

The tokenizer, which is in the same directory, is vr/renderers/tokenizer.py's.

Nothing here unpickles or runs code that comes with a model. `require_model` and `require_finite` import no engine's
libraries, so they can stand before anything else.

Not covered: bits that have flipped within a tensor and left a finite number (DVC compares checksums), and weights in
8 bits or fewer, whose numbers are not looked at.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
"""The names under which every engine finds weights; beside other names, transformers would take a pickle."""
ADAPTER = "adapter_config.json"
"""Names another model, from anywhere, that transformers loads in place of the one in the directory."""
SETTINGS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""What a trained model takes over in part (vr/engines/training/publish.py): read before a training, not only after."""
EXPONENTS = {"F64": (8, 0x7FF0000000000000), "F32": (4, 0x7F800000), "F16": (2, 0x7C00), "BF16": (2, 0x7F80)}
"""Bytes of a number, and the bits of its exponent: all of these are set in NaN and infinity, and in nothing else."""
_PIECE = 1 << 26  # bytes read at one time


def require_model(model: str | Path) -> None:
    """Check that config and weights of a model directory are whole; of the weights only the files' heads are read.

    Raises:
        FileNotFoundError: `model` is no model directory, or a part of it is missing; a pickle is no such part.
        ValueError: a file is cut short, or is not what its name says.
    """
    folder = Path(model)
    _require_config(folder)
    for name in SETTINGS:
        if (folder / name).exists():
            read_json(folder / name)
    if (folder / ADAPTER).exists():
        raise ValueError(f"{model}: {ADAPTER}: an adapter: merge it into its model, which would be loaded instead")
    for file in _weight_files(folder):
        _require_whole(file)


def require_finite(model: str | Path) -> None:
    """Check that no weight is NaN or infinite; reads all of them, a piece at a time.

    Raises:
        FileNotFoundError, ValueError: as `require_model`; a tensor with such a weight, which is named with its file.
    """
    for file in _weight_files(Path(model)):
        _require_whole(file)
        with file.open("rb") as opened:
            head_bytes = int.from_bytes(opened.read(8), "little")
            head = json.loads(opened.read(head_bytes))
        for name, entry in head.items():
            if name != "__metadata__" and entry["dtype"] in EXPONENTS and not _is_finite(file, 8 + head_bytes, entry):
                raise ValueError(f"{file}: tensor {name!r} has weights that are NaN or infinite")


def load_config(model: str | Path) -> Any:
    """The config of a model directory as transformers reads it; code that comes with the model is never run.

    Raises:
        FileNotFoundError: `model` is no model directory.
        ValueError: transformers cannot read it, or does not know the model without code of the model's own.
    """
    _require_config(Path(model))  # transformers would look for the name on the hub
    from transformers import AutoConfig  # takes seconds to import

    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # of many classes, its own and others
        raise ValueError(f"{model}/config.json: {in_one_line(error)}") from error


def load_model(model: str | Path, **how: Any) -> Any:
    """The model of a directory as transformers loads it; code that comes with it is never run, no pickle is read.

    Args:
        how: further arguments of `from_pretrained`.

    Raises:
        FileNotFoundError: `model` is no model directory.
        ValueError: transformers cannot load it; the weights lack a tensor of the model that the config describes, which
            transformers would make up of random numbers, or have one of another shape.
    """
    _require_config(Path(model))
    from transformers import AutoModelForCausalLM, logging

    logging.set_verbosity_error()  # its report on what is missing takes ten lines
    logging.disable_progress_bar()
    how |= {"trust_remote_code": False, "use_safetensors": True, "ignore_mismatched_sizes": True}
    try:
        loaded, notes = AutoModelForCausalLM.from_pretrained(model, output_loading_info=True, **how)
    except Exception as error:  # of many classes, its own and others
        raise ValueError(f"{model}: transformers cannot load it: {in_one_line(error)}") from error
    if missing := sorted(notes["missing_keys"]):
        raise ValueError(f"{model}: the weights lack {len(missing)} tensors of the config's model, first {missing[0]}")
    for name, theirs, ours in notes["mismatched_keys"]:
        raise ValueError(f"{model}: tensor {name} has shape {tuple(theirs)}, the config's model {tuple(ours)}")
    return loaded


def require_fit(model: str | Path) -> None:
    """Check that the weights are those of the model that the config describes; reads none of them.

    Not covered: quantised models, which transformers cannot lay out without further libraries.

    Raises:
        FileNotFoundError, ValueError: as `load_config` and `load_model`.
    """
    if getattr(load_config(model), "quantization_config", None) is None:
        load_model(model, device_map="meta")


def weight_bytes(model: str | Path) -> int:
    """Bytes of a model's files of weights.

    Raises:
        FileNotFoundError, ValueError: as `require_model`.
    """
    return sum(file.stat().st_size for file in _weight_files(Path(model)))


def vocabulary(model: str | Path) -> int:
    """How many token ids the model knows: 0 to one less. The tokenizer may have fewer tokens.

    Raises:
        FileNotFoundError, ValueError: as `load_config`; the config does not say it.
    """
    return _size(model, "vocab_size")


def positions(model: str | Path) -> int:
    """How many tokens a text under the model may have.

    Raises:
        FileNotFoundError, ValueError: as `vocabulary`.
    """
    return _size(model, "max_position_embeddings")


def unknown_id(ids: Sequence[int], known: int) -> int | None:
    """One of the ids that is none of 0 .. known - 1, if there is one; `known` is the model's `vocabulary`."""
    return next((i for i in (min(ids, default=0), max(ids, default=0)) if not 0 <= i < known), None)


def read_json(path: Path) -> dict[str, Any]:
    """One of a model's files of names and values.

    Raises:
        ValueError: it is not one.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: should be names and values, is {type(content).__name__}")
    return content


def in_one_line(error: Exception) -> str:
    """What an error of another library says, which may be several lines."""
    return " ".join(str(error).split()) or type(error).__name__


def _size(model: str | Path, name: str) -> int:
    size = getattr(load_config(model).get_text_config(), name, None)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{model}/config.json: {name} = {size!r}")
    return size


def _require_config(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder}: no such model (a directory with config.json, weights and a tokenizer)")
    read_json(folder / "config.json")


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model: one, or those that its index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return [folder / name for name in _names_in(folder / INDEX)]
    raise FileNotFoundError(f"{folder}: no {WEIGHTS} there (other formats are not read, least of all pickles)")


def _names_in(index: Path) -> list[str]:
    named = read_json(index).get("weight_map")
    if not (isinstance(named, dict) and named and all(isinstance(name, str) for name in named.values())):
        raise ValueError(f"{index}: no weight_map from tensors to files")
    names = sorted(set(named.values()))
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{index}: {name!r} is not the name of a file beside it")
        if not index.with_name(name).is_file():
            raise FileNotFoundError(f"{index}: {name} is missing")
    return names


def _require_whole(file: Path) -> None:
    """Check that the data of a safetensors file are those that its head announces."""
    try:
        with safe_open(file, "numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{file}: not a whole safetensors file: {error}") from error


def _is_finite(file: Path, data_begin: int, entry: Mapping[str, Any]) -> bool:
    size, exponent = EXPONENTS[entry["dtype"]]
    begin, end = entry["data_offsets"]
    for place in range(data_begin + begin, data_begin + end, _PIECE):
        bits = np.fromfile(file, f"<u{size}", min(_PIECE, data_begin + end - place) // size, offset=place)
        if ((bits & exponent) == exponent).any():
            return False
    return True
