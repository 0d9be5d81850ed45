"""How many tokens a question, a trace and an answer have: measured on tables and tokenizer where they are there.

Means, in tokens. What only a run shows, the length of what a model writes, is taken from tables of an earlier run, or
assumed to be that of the data set's own texts.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from vr.renderers import renderer
from vr.settings.params import Problems, Shared
from vr.settings.yaml_files import text_of

_SAMPLE = 200
"""Questions that are encoded; their mean is then within some percent of that of all."""
PROGRAMS = ("stdin", "call", "asserts")
"""Verifiers of programs."""


@dataclass(frozen=True)
class Texts:
    """Tokens of the texts of a run, and where the figures come from."""

    prompt: float
    """what pi is shown"""
    posterior_prompt: float
    """what q is shown, the hint among it"""
    trace: float
    answer: float
    markers: float
    """of pi's row, beside prompt, trace and answer"""
    longest: int
    """the longest row to train on"""
    programs: float
    """share of questions whose answers are programs, which take longer to judge"""
    questions: int
    source: str
    sampled_trace: float | None = None
    sampled_answer: float | None = None
    """of an earlier run"""

    @property
    def row(self) -> float:
        """A row of the data set's own text, as pi learns it."""
        return self.prompt + self.trace + self.answer + self.markers


@dataclass(frozen=True)
class Source:
    """What is known of a source of training questions beforehand."""

    prompt: float
    trace: float
    answer: float
    markers: float
    longest: int
    programs: float
    questions: int
    """where params.yaml says `all`"""
    why: str


ASSUMED = {
    "miniature": Source(37, 20, 8, 4, 130, 0.2, 0, "300 questions and the miniature's tokenizer"),
    "gsm8k": Source(106, 102, 18, 14, 450, 0, 7473, "300 questions and SmolLM2's tokenizer"),
    "gym": Source(121, 102, 19, 14, 500, 0, 0, "gsm_symbolic: 300 questions and SmolLM2's tokenizer"),
    "bespoke_stratos": Source(420, 5500, 400, 15, 17_000, 0.28, 16_710, "the set's card, about 5,500 tokens a trace"),
}
"""Tokens of a source's texts, by its name in problems.sources."""
_HINT_WORDS = 20
"""Tokens of q's prompt beside those of pi's and the hint: its own instructions and markers."""


def assumed(problems: Problems, shared: Shared) -> Texts:
    """The mean over the sources, each with its share of the questions.

    Raises:
        ValueError: nothing is known of a source's texts beforehand.
    """
    unknown = [name for name in problems.sources if name not in ASSUMED]
    if unknown:
        raise ValueError(
            f"params.yaml: problems.sources: the length of the texts of {unknown[0]!r} is not known beforehand: "
            "run `dvc repro problems base` first"
        )
    known = [ASSUMED[name] for name in problems.sources]
    sizes = [getattr(problems, name).size for name in problems.sources]
    counts = [source.questions if size == "all" else size for source, size in zip(known, sizes, strict=True)]

    def mean(values: list[float]) -> float:
        return sum(value * n for value, n in zip(values, counts, strict=True)) / sum(counts)

    prompt, answer = mean([source.prompt for source in known]), mean([source.answer for source in known])
    return Texts(
        prompt=prompt,
        posterior_prompt=prompt + _HINT_WORDS + (answer if shared.hint == "solution" else 0),
        trace=mean([source.trace for source in known]),
        answer=answer,
        markers=mean([source.markers for source in known]),
        longest=max(source.longest for source in known),
        programs=mean([source.programs for source in known]),
        questions=sum(counts),
        source="assumed: " + "; ".join(f"{n}, {s.why}" for n, s in zip(problems.sources, known, strict=True)),
    )


def measured(problems: Path, base: Path, shared: Shared) -> Texts:
    """The means of some questions of the table `problems`, under the tokenizer of the model `base`.

    Raises:
        ValueError, OSError: the table, the tokenizer or a prompt cannot be read.
    """
    table = pl.read_parquet(problems, columns=[*renderer.PROBLEM_COLUMNS, "verifier"])
    some = table.gather_every(max(1, table.height // _SAMPLE)).to_dicts()
    prompts = Path(shared.prompts)
    wording = renderer.Wording(
        reasoner=text_of(prompts / "reasoner.txt").strip(),
        posterior=text_of(prompts / f"posterior_{shared.template}.txt").strip(),
        untrained="",
        hint=shared.hint,
        template=shared.template,
        proposal="posterior",
    )
    shown = renderer.load(base, wording)
    ours, theirs = shown.initial_examples(some), shown.posterior_examples(some)

    def mean(values: list[int]) -> float:
        return sum(values) / len(values)

    spans = [example.answer or (0, 0) for example in ours]
    prompt, trace = mean([e.trace[0] for e in ours]), mean([e.trace[1] - e.trace[0] for e in ours])
    answer = mean([end - begin for begin, end in spans])
    return Texts(
        prompt=prompt,
        posterior_prompt=mean([example.trace[0] for example in theirs]),
        trace=trace,
        answer=answer,
        markers=mean([len(example.ids) for example in ours]) - prompt - trace - answer,
        longest=max(len(example.ids) for example in [*ours, *theirs]),
        programs=float(np.mean([kind in PROGRAMS for kind in table["verifier"].to_list()])),
        questions=table.height,
        source=f"measured on {len(some)} questions of {problems}",
    )


def with_tables(texts: Texts, traces: Path, answers: Path) -> Texts:
    """The same, with the lengths of traces and answers that an earlier run has sampled.

    Args:
        traces, answers: tables of one seed, which need not be there.
    """
    found = {"sampled_trace": _mean_length(traces, "trace_ids"), "sampled_answer": _mean_length(answers, "answer_ids")}
    read = [str(path) for path, mean in zip((traces, answers), found.values(), strict=True) if mean is not None]
    return replace(texts, **found, source=", ".join([texts.source, *read]))  # type: ignore[arg-type]


def response_tokens(evals: Path) -> float | None:
    """Mean tokens of an earlier evaluation's responses; None: there is none."""
    if not evals.is_file():
        return None
    mean: float | None = pl.scan_parquet(evals).select(pl.col("response_tokens").mean()).collect().item()
    return mean


def _mean_length(table: Path, ids: str) -> float | None:
    if not table.is_file():
        return None
    mean: float | None = pl.scan_parquet(table).select(pl.col(ids).list.len().mean()).collect().item()
    return mean


def belongs(problems: Problems, table: Path) -> bool:
    """Whether `table` can be what `problems` asks for: another one may lie there from a run with other parameters."""
    if not table.is_file():
        return False
    height, most = pl.scan_parquet(table).select(pl.len()).collect().item(), problems.at_most
    return most is None or 0.9 * most <= height <= most  # some rows are no question
