"""Which stages the params run, and what each has to do: rows, tokens, steps. Nothing here knows how fast a machine is.

Q questions, K seeds, M answers a trace, n responses a question.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from vr.engines.scoring.sampler_logps import N_COMPARED
from vr.engines.training.layout import Layout, lay_out, most_rows
from vr.plan import texts
from vr.plan.hardware import Hardware, Precision, precision_of
from vr.plan.shapes import BYTES, Shape
from vr.plan.texts import Texts
from vr.settings.consistency import Document
from vr.settings.machine import Machine
from vr.settings.params import (
    Benchmark,
    BuildBaseline,
    BuildFinal,
    Evaluate,
    HubBenchmark,
    MiniatureBenchmark,
    Published,
    SampleAnswers,
    SampleTraces,
    Sampling,
    ScoreInitial,
    ScorePosterior,
    Shared,
    Subsets,
)
from vr.settings.training import Train, TrainBaseline, TrainFinal, TrainInitial, TrainPosterior
from vr.sources.benchmarks import CATALOGUE

# Bytes on disk, measured on synthetic tables (tests/benchmarks/README.md); columns are compressed with zstd.
TEXT = 2.4
"""Bytes a token of text"""
IDS_AND_TEXT = 2.2 + TEXT
"""Bytes a token whose id is kept beside its text"""
LOGP = 3.4
"""Bytes a log-prob"""
ROW = 20
"""Bytes a row of keys and a few numbers"""
WEIGHTS_ROW = 30
"""Bytes a row of the weights"""


@dataclass(frozen=True)
class Training:
    """A supervised training."""

    layout: Layout
    steps: int
    row_tokens: float
    """mean"""
    longest: int
    """tokens of the longest row, cut off"""
    precision: Precision
    trained: int
    """weights that change"""
    epochs: float


@dataclass(frozen=True)
class Drawing:
    """Texts that vLLM draws, and judges them where they are responses to a benchmark."""

    texts: int
    prompts: int
    """different ones: of one prompt vLLM reads what it has read before"""
    prompt_tokens: float
    text_tokens: float
    longest: int
    """tokens at most"""
    precision: Precision
    judged: bool
    programs: float


@dataclass(frozen=True)
class Scoring:
    """Texts that are read once."""

    texts: int
    text_tokens: float
    precision: Precision


@dataclass(frozen=True)
class Judging:
    """Answers that verifiers judge."""

    answers: int
    programs: float
    made: bool = False
    """they are solutions of questions that are made or read first"""


@dataclass(frozen=True)
class Tables:
    """Work on tables; `encoded` tokens are made from text."""

    encoded: float = 0


Work = Training | Drawing | Scoring | Judging | Tables


@dataclass(frozen=True)
class Stage:
    """Stages of dvc.yaml that have the same to do."""

    name: str
    times: int
    """how many there are, one a seed or a benchmark"""
    phase: int
    """stages of one phase wait for those of the phases before, not for each other"""
    rows: int
    """of one of them, as the next"""
    tokens: int
    work: Work
    bytes: float
    """on disk, of its outputs"""


@dataclass(frozen=True)
class Run:
    """What the stages of a run follow from."""

    document: Document
    texts: Texts
    shape: Shape
    machine: Machine
    hardware: Hardware
    earlier: Path | None
    """where the tables of an earlier run with the same questions lie"""

    @property
    def final(self) -> int:
        """Questions that the final model learns from."""
        size = Subsets.read(self.document).final.size
        return self.texts.questions if size == "all" else size

    @property
    def initial(self) -> int:
        """Questions that pi_0 and q learn from."""
        return self.texts.questions - (self.final if Subsets.read(self.document).disjoint else 0)

    @property
    def rows_a_question(self) -> int:
        """Rows of the final training set."""
        return BuildBaseline.read(self.document).rows_per_question

    @property
    def trace(self) -> float:
        """Tokens of a sampled trace."""
        known = self.texts.sampled_trace or self.texts.trace
        return min(known, SampleTraces.read(self.document).max_tokens)

    @property
    def answer(self) -> float:
        """Tokens of a sampled answer."""
        known = self.texts.sampled_answer or self.texts.answer
        return min(known, SampleAnswers.read(self.document).max_tokens)

    @property
    def drawn_row(self) -> float:
        """Tokens of a row with a sampled trace and the data set's answer."""
        return self.texts.row - self.texts.trace + self.trace

    @property
    def response(self) -> float:
        """Tokens of a response: a trace, an answer, and the markers between."""
        return self.drawn_row - self.texts.prompt

    @property
    def trained_precision(self) -> Precision:
        """Of the models that are made here."""
        return TrainInitial.read(self.document).precision


def stages(run: Run) -> list[Stage]:
    """Every stage that `dvc repro` would run, in an order in which they can run.

    Raises:
        ValueError: a batch cannot be laid out on the machine.
    """
    return [*_questions(run), *_trainings(run), *_traces(run), *_final(run), *_evaluations(run)]


def _questions(run: Run) -> Iterator[Stage]:
    t, evaluate = run.texts, Evaluate.read(run.document)
    tokens = round(t.questions * t.row)
    yield Stage("problems", 1, 0, t.questions, tokens, Judging(t.questions, t.programs, made=True), tokens * TEXT)
    for name in evaluate.benchmarks:
        n = benchmark_questions(run.document, name)
        yield Stage(f"benchmark@{name}", 1, 0, n, 0, Judging(n, t.programs, made=True), n * t.prompt * TEXT)
    for name in evaluate.models:
        if name in run.document[Published.section]:
            yield Stage(f"published@{name}", 1, 0, 1, 0, Tables(), run.shape.weights * BYTES["bf16"])
    yield Stage("subsets", 1, 1, run.initial + run.final, 0, Tables(), (run.initial + run.final) * ROW)
    yield Stage("base", 1, 1, 1, 0, Tables(1), run.shape.weights * BYTES[run.trained_precision])


def benchmark_questions(document: Document, name: str) -> int:
    """The questions of one benchmark."""
    settings = Benchmark.read(document, name)
    if isinstance(settings, HubBenchmark):
        return CATALOGUE[name].size if settings.questions == "all" else settings.questions
    questions: int = settings.questions  # type: ignore[attr-defined]
    return questions


def _trainings(run: Run) -> Iterator[Stage]:
    t, shared = run.texts, Shared.read(run.document)
    row = t.row
    yield from _training(run, "train_initial", TrainInitial, run.initial, 1, row, 2)
    if shared.proposal == "posterior":
        yield from _training(run, "train_posterior", TrainPosterior, run.initial, 1, t.posterior_prompt + t.trace, 2)
    rows = run.final * run.rows_a_question
    for name in shared.baselines:
        if name in Evaluate.read(run.document).models:
            size = rows * row * IDS_AND_TEXT
            yield Stage(f"build_baseline@{name}", 1, 2, rows, round(rows * row), Tables(rows * row), size)
            yield from _training(run, f"train_baseline@{name}", TrainBaseline, run.final, run.rows_a_question, row, 3)


def _training(
    run: Run, name: str, section: type[Train], questions: int, rows_a_question: int, row: float, phase: int
) -> Iterator[Stage]:
    """One training, unless its model is taken from elsewhere. Rows of weight 0 fill the last batch up."""
    p = section.read(run.document)
    if p.source is not None:
        yield Stage(name, 1, phase, 1, 0, Tables(1), run.shape.weights * BYTES["bf16"])
        return
    most = most_rows(run.shape.bytes, p.cutoff_len)
    layout = lay_out(p.batch_size * rows_a_question, run.machine, run.hardware.gpus, run.hardware.cores, most)
    rows = questions * rows_a_question
    steps = ceil(p.epochs * ceil(rows / layout.batch))
    work = Training(
        layout=layout,
        steps=steps,
        row_tokens=min(row, p.cutoff_len),
        longest=min(run.texts.longest, p.cutoff_len),
        precision=p.precision,
        trained=run.shape.adapters(p),
        epochs=p.epochs,
    )
    yield Stage(
        name, 1, phase, rows, round(p.epochs * rows * work.row_tokens), work, run.shape.weights * BYTES[p.precision]
    )


def _traces(run: Run) -> Iterator[Stage]:
    t, shared, n = run.texts, Shared.read(run.document), run.final
    k, posterior = len(shared.seeds), shared.proposal == "posterior"
    prompt = t.posterior_prompt if posterior else t.prompt
    from_sampler = posterior and shared.posterior_logps == "sampler"
    p, initial = SampleTraces.read(run.document), ScoreInitial.read(run.document)
    tokens = round(n * run.trace)
    drawing = _drawing(run, p, texts=n, prompts=n, prompt_tokens=prompt, text_tokens=run.trace)
    size = tokens * (IDS_AND_TEXT + (LOGP if from_sampler else 0))
    yield Stage(f"sample_traces@{shared.proposal}-*", k, 3, n, tokens, drawing, size)
    length = run.drawn_row
    scoring = Scoring(n, length, precision_of(initial.precision, run.trained_precision))
    size = n * ROW + initial.token_logps * tokens * LOGP
    yield Stage(f"score_initial@{shared.proposal}-*", k, 4, n, round(n * length), scoring, size)
    if posterior:
        q, length = ScorePosterior.read(run.document), prompt + run.trace
        scored = min(n, N_COMPARED) if from_sampler else n
        scoring = Scoring(scored, length, precision_of(q.precision, run.trained_precision))
        size = n * ROW + q.token_logps * tokens * LOGP
        yield Stage("score_posterior@*", k, 4, n, round(scored * length), scoring, size)
    if shared.estimator == "acc":
        yield from _answers(run, k)


def _answers(run: Run, k: int) -> Iterator[Stage]:
    p, n, t, name = SampleAnswers.read(run.document), run.final, run.texts, Shared.read(run.document).proposal
    answers = n * p.samples
    tokens = round(answers * run.answer)
    drawing = _drawing(run, p, texts=answers, prompts=n, prompt_tokens=t.prompt + run.trace, text_tokens=run.answer)
    yield Stage(f"sample_answers@{name}-*", k, 4, answers, tokens, drawing, tokens * IDS_AND_TEXT)
    judging = Judging(answers, t.programs)
    yield Stage(f"verify_answers@{name}-*", k, 5, answers, tokens, judging, answers * ROW)
    yield Stage(f"likelihood_acc@{name}-*", k, 6, n, 0, Tables(), n * ROW)


def _drawing(
    run: Run,
    p: Sampling,
    *,
    texts: int,
    prompts: int,
    prompt_tokens: float,
    text_tokens: float,
    judged: bool = False,
    programs: float = 0,
) -> Drawing:
    longest = max(1, min(p.max_tokens, run.shape.positions - round(prompt_tokens)))
    precision = precision_of(p.precision, run.trained_precision)
    return Drawing(texts, prompts, prompt_tokens, min(text_tokens, longest), longest, precision, judged, programs)


def _final(run: Run) -> Iterator[Stage]:
    k, t = len(Shared.read(run.document).seeds), run.texts
    p = BuildFinal.read(run.document)
    own, drawn = t.row, run.drawn_row
    rows = run.final * run.rows_a_question
    row = (own * p.mix + drawn * (run.rows_a_question - p.mix)) / run.rows_a_question
    weighed = run.final * k
    yield Stage("likelihood_reference", 1, 6, weighed, 0, Tables(), 3 * weighed * ROW)
    yield Stage("weigh", 1, 7, weighed, 0, Tables(), weighed * WEIGHTS_ROW)
    encoded = Tables(rows * row)
    yield Stage("build_final", 1, 8, rows, round(rows * row), encoded, rows * row * IDS_AND_TEXT)
    yield from _training(run, "train_final", TrainFinal, run.final, run.rows_a_question, row, 9)


def _evaluations(run: Run) -> Iterator[Stage]:
    p, t = Evaluate.read(run.document), run.texts
    for name in p.benchmarks:
        n = benchmark_questions(run.document, name)
        responses = n * p.samples[name]
        for length, models in _by_length(run, name, p.models).items():
            tokens = round(responses * min(length, p.max_tokens))
            drawing = _drawing(
                run, p, texts=responses, prompts=n, prompt_tokens=t.prompt, text_tokens=length,
                judged=True, programs=_programs(run, name),
            )  # fmt: skip
            which = models[0] if len(models) == 1 else "*"
            yield Stage(f"evaluate@{which}-{name}", len(models), 10, responses, tokens, drawing, tokens * TEXT)
    yield Stage("report", 1, 11, 1, 0, Tables(), 1 << 20)


def _by_length(run: Run, benchmark: str, models: list[str]) -> dict[float, list[str]]:
    """Models by the mean tokens of their responses: an earlier run's, or a trace and an answer."""
    found: dict[float, list[str]] = {}
    for model in models:
        table = run.earlier and run.earlier / "evals" / model / f"{benchmark}.parquet"
        known = texts.response_tokens(table) if table else None
        found.setdefault(known or run.response, []).append(model)
    return found


def _programs(run: Run, benchmark: str) -> float:
    """Share of a benchmark's questions that ask for a program."""
    settings = Benchmark.read(run.document, benchmark)
    if isinstance(settings, MiniatureBenchmark):
        return settings.programs
    return float(benchmark in CATALOGUE and CATALOGUE[benchmark].verifier in texts.PROGRAMS)
