"""What is computed: the parameters of every step, with their ranges.

One class per stage. Its fields are the stage's section of params.yaml plus, in `shared`, the top-level keys
that it reads; an unknown key, a missing key or a value out of range is an error that names it.
Numbers are the paper's (arXiv 2509.22637, App. C) where a default stands here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Estimator = Literal["acc", "gml", "l", "uniform"]
Hint = Literal["solution", "answer", "none"]
Template = Literal["A", "B"]
LogpsFrom = Literal["scorer", "sampler"]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Temperature = Annotated[float, Field(ge=0, le=5)]
TopP = Annotated[float, Field(gt=0, le=1)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]


class Params(BaseModel):
    """A stage's parameters; `section` and `shared` say where in params.yaml they stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    section: ClassVar[str]
    shared: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The stage's parameters out of the whole document.

        Raises:
            ValueError: every missing, unknown or bad entry, one line each.
        """
        missing = [key for key in (*cls.shared, cls.section) if key not in document]
        if missing:
            raise ValueError(f"params.yaml: missing {', '.join(missing)}")
        values = document[cls.section]
        if not isinstance(values, Mapping):
            raise ValueError(f"params.yaml: {cls.section} = {values!r}: should be a section of keys and values")
        try:
            return cls(**{key: document[key] for key in cls.shared}, **values)
        except (ValidationError, TypeError) as error:
            raise ValueError(_readable(error, cls)) from error


def _readable(error: Exception, cls: type[Params]) -> str:
    if not isinstance(error, ValidationError):
        return f"params.yaml: {cls.section}: {error}"
    lines = []
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        if path and path[0] not in cls.shared:
            path.insert(0, cls.section)
        lines.append(complaint("params.yaml", ".".join(path) or cls.section, item))
    return "\n".join(lines)


def complaint(file: str, entry: str, item: Mapping[str, Any]) -> str:
    """One line for one error of a ValidationError: the file, its entry, the value there and what is wrong with it."""
    shown = "" if not item["loc"] or item["type"] == "missing" else f" = {item['input']!r}"
    return f"{file}: {entry}{shown}: {item['msg']}"


class Problems(Params):
    """The embedded miniature's problems (vr/miniature.py)."""

    section: ClassVar[str] = "problems"
    train: Positive
    """train questions"""
    dev: Positive
    """held-out questions to tune on"""
    test: Positive
    """held-out questions that are reported"""
    programs: Probability
    """share of programming tasks"""
    slips: Probability
    """share of teacher traces with one wrong step"""
    guesses: Probability
    """share of teacher traces that only guess"""
    seed: int

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.slips + self.guesses > 1:
            raise ValueError(f"slips + guesses = {self.slips + self.guesses}: at most 1")
        return self


class Base(Params):
    """The base model: the miniature made here, or a model directory or hub id."""

    section: ClassVar[str] = "base"
    source: str = Field(min_length=1)
    """`miniature`, a local directory, or a hub id"""
    revision: str | None = None
    """pinned commit of a hub model"""
    hidden_size: Positive = 64
    layers: Positive = 3
    heads: Positive = 4
    vocabulary: Annotated[int, Field(ge=280)] = 512
    """miniature only: tokens, the 256 bytes and the special ones included"""
    markers: Literal["special", "text"] = "special"
    """miniature only: whether <|begin_of_thought|> and the like are one token or several"""
    seed: int = 0


class Train(Params):
    """Hyper-parameters of one supervised training, by LLaMA-Factory under DeepSpeed (App. C)."""

    epochs: Annotated[float, Field(gt=0)]
    batch_size: Positive
    """questions a step: rows a step is this times the rows a question (2 with mix, K when weighted)"""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Probability = 0.1
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    cutoff_len: Positive = 16384
    """tokens of a row; what is longer is cut off and counted"""
    normalizer: Literal["constant", "token_mean"] = "constant"
    """constant: Dr. SFT; token_mean: plain SFT (Table 10)"""
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 0


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


class Sampling(Params):
    """How text is drawn from a model."""

    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    max_tokens: Positive

    @property
    def decoding(self) -> dict[str, Any]:
        """What a sampler is told."""
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}


class SampleTraces(Sampling):
    """z_k ~ q(. | x, y')."""

    section: ClassVar[str] = "sample_traces"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template", "posterior_logps")
    hint: Hint
    template: Template
    posterior_logps: LogpsFrom


class ScoreInitial(Params):
    """Log-probs under pi_0."""

    section: ClassVar[str] = "score_initial"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template")
    hint: Hint
    template: Template
    token_logps: bool = False
    """keep the log-prob of every trace token, not only their sum"""


class ScorePosterior(ScoreInitial):
    """Log-probs under q."""

    section: ClassVar[str] = "score_posterior"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template", "posterior_logps")
    posterior_logps: LogpsFrom
    """scorer: a pass of its own over every trace; sampler: those of sampling, compared with a pass over a few"""


class SampleAnswers(Sampling):
    """y ~ pi_0(. | x, z_k)."""

    section: ClassVar[str] = "sample_answers"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template")
    hint: Hint
    template: Template
    samples: Positive
    """M, answers a trace"""


class Weigh(Params):
    """rho~ (Eq. 6 and 8, App. C.2)."""

    section: ClassVar[str] = "weigh"
    shared: ClassVar[tuple[str, ...]] = ("estimator", "seeds", "K")
    estimator: Estimator
    seeds: Seeds
    K: Positive
    ratio: bool = True
    """false: the likelihood term alone"""
    max_trace_tokens: Positive = 28000
    """a longer trace has weight 0"""
    weak_verifier_sources: list[str] = []
    """acc only: sources whose questions without any correct answer take the gml weights"""
    token_logps: bool = False
    """true: sums taken anew over the per-token log-probs, which needs score_*.token_logps; false: the scorer's sums"""

    @model_validator(mode="after")
    def _enough_seeds(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}: each seed may stand there once")
        if len(self.seeds) < self.K:
            more = list(range(max(self.seeds) + 1, max(self.seeds) + 1 + self.K - len(self.seeds)))
            raise ValueError(
                f"K = {self.K} is more than the {len(self.seeds)} seeds; add seeds: -S 'seeds={[*self.seeds, *more]}'"
            )
        return self


class LikelihoodAcc(Params):
    """acc_k, and the correct answer that goes with a trace."""

    section: ClassVar[str] = "likelihood_acc"
    seed: int = 0
    """draws one of a trace's correct answers"""


class BuildFinal(Params):
    """Which rows the final model learns from (App. C.3)."""

    section: ClassVar[str] = "build_final"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template")
    hint: Hint
    template: Template
    selection: Literal["best", "weighted"] = "best"
    mix: bool = True
    """add the data set's own rows"""


class Evaluate(Sampling):
    """Avg@n and Pass@k on held-out questions."""

    section: ClassVar[str] = "evaluate"
    models: list[Literal["base", "initial", "final"]]
    split: Literal["dev", "test"] = "test"
    benchmarks: dict[str, Positive]
    """n, answers a question, for each benchmark"""
    seed: int = 0


class Report(Params):
    """Metrics and plot data."""

    section: ClassVar[str] = "report"
    pass_at: list[Positive] = [1, 2, 4, 8]
    """the k of Pass@k, where k <= n"""
    bootstrap: Annotated[int, Field(ge=100)] = 10_000
    """resamples over questions, for the 95 % intervals"""
    seed: int = 0
