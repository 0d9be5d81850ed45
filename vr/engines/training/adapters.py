"""LoRA adapters (arXiv 2106.09685): which layers can have them, and adding them to the weights after a training.

The worker saves adapters alone, from whatever ranks and ZeRO stage. They are merged here, on the CPU, in a step of its
own: if it is interrupted, the next run merges again and trains nothing.
"""

from logging import getLogger
from pathlib import Path

from vr.engines.training.publish import DTYPES
from vr.renderers.model_directory import load_model
from vr.settings.training import Train
from vr.tables.files import atomic_folder

log = getLogger(__name__)


def require_targets(base: Path, params: Train) -> None:
    """Check that the model has the layers that `params` gives adapters to, if any; reads no weights.

    Raises:
        FileNotFoundError, ValueError: transformers cannot load the model; it has no linear layer of a name, or it has
            one only as its output layer, which is never trained, since it may be the embedding as well.
    """
    if params.method == "full" or params.lora.targets == "all":
        return
    there_are = linear_layers(base)
    for name in params.lora.targets:
        if name not in there_are:
            known = ", ".join(there_are)
            raise ValueError(f"{base}: no layer {name!r}, which params.yaml names in lora.targets (there are: {known})")


def linear_layers(base: Path) -> list[str]:
    """The names of a model's linear layers, without their place: `q_proj`, and so on. The output layer is left out."""
    from torch.nn import Linear

    model = load_model(base, device_map="meta")
    head = model.get_output_embeddings()
    layers = (name for name, layer in model.named_modules() if isinstance(layer, Linear) and layer is not head)
    return sorted({name.rpartition(".")[2] for name in layers})


def merge(base: Path, run: Path, out: Path, precision: str) -> Path:
    """Add the adapters in `run` to the weights in `base`: W + (alpha / rank) * B A. `out` appears whole or not at all.

    The sums are taken in fp32 and rounded once. A bf16 weight has 8 significant bits: where adapters add less than
    1/512 of it, that is lost.

    Args:
        precision: of the training, `bf16` or `fp32`: the weights that the adapters were trained beside.

    Returns:
        `out`: safetensors files as transformers saves them, the head of a tied model left out.

    Raises:
        FileNotFoundError, ValueError: transformers cannot load the base.
        OSError: the disk is full.
    """
    from peft import PeftModel

    log.info("adding the adapters to the weights")
    model = PeftModel.from_pretrained(load_model(base, dtype=DTYPES[precision]), run).merge_and_unload()
    with atomic_folder(out) as part:
        model.save_pretrained(part)
    return out
