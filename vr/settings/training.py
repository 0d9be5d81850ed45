"""What a training computes: its hyper-parameters, shared by all trainings or a role's own.

Numbers called the paper's are those of arXiv 2509.22637, App. C.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vr.settings.entries import Entries, Params
from vr.settings.ranges import Hint, Layers, NotEmpty, Positive, Probability, Seed, Template


class Lora(Entries):
    """Adapters: W + (alpha / rank) * B A, in which A and B alone are trained (LoRA). LLaMA-Factory's lora_* entries.

    It stands as a whole: a training's own `lora` takes no entry from the shared one.
    """

    rank: Annotated[int, Field(gt=0, le=4096)]
    """rows of A, columns of B"""
    alpha: Positive
    """scale of what adapters add"""
    targets: Layers
    """linear layers that get adapters, as [q_proj, v_proj]; all: every one but the output layer"""


class Train(Params):
    """Hyper-parameters of one supervised training, by LLaMA-Factory under DeepSpeed (App. C).

    The section `training` holds for all of them; an entry of a training's own section wins.
    """

    defaults: ClassVar[str] = "training"
    source: NotEmpty | None
    """a published model, a local directory or a hub id, that is taken instead of training one; null: train"""
    revision: NotEmpty | None
    """pinned commit of a hub model"""
    method: Literal["full", "lora"]
    """train all weights (the paper's), or adapters that are added to the weights at the end"""
    lora: Lora
    """read by method lora alone"""
    epochs: Annotated[float, Field(gt=0, le=10_000)]
    """the paper's: 3, q 10"""
    batch_size: Positive
    """questions a step: rows a step are this times the rows a question (2 with mix, K when weighted)"""
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    """the paper's: 1e-5"""
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"]
    """the paper's: cosine"""
    warmup_ratio: Probability
    """the paper's: 0.1, q 0.05"""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)]
    """the paper's: 0.9"""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)]
    """the paper's: 0.999, q 0.95"""
    adam_epsilon: Annotated[float, Field(gt=0, lt=1)]
    """the paper's: 1e-8"""
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    """the paper's: 0, q 1e-4"""
    max_grad_norm: Annotated[float, Field(ge=0)]
    """the paper's: 1"""
    cutoff_len: Positive
    """tokens of a row; what is longer is cut off and counted; the paper's: 16384"""
    normalizer: Literal["constant", "token_mean"]
    """constant: Dr. SFT (the paper's); token_mean: plain SFT (Table 10)"""
    precision: Literal["bf16", "fp32"]
    """the paper's: bf16"""
    seed: Seed


class TrainInitial(Train):
    """pi_0."""

    section: ClassVar[str] = "train_initial"


class TrainPosterior(Train):
    """q."""

    section: ClassVar[str] = "train_posterior"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template")
    hint: Hint
    template: Template


class TrainFinal(Train):
    """The final model."""

    section: ClassVar[str] = "train_final"


class TrainBaseline(Train):
    """A model of `baselines`."""

    section: ClassVar[str] = "train_baseline"


TRAININGS: tuple[type[Train], ...] = (TrainInitial, TrainPosterior, TrainFinal, TrainBaseline)
"""One for each model that is trained here; of all baselines together one."""
