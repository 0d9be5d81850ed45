"""Whether the sections of params.yaml fit together; each one alone is checked where it is declared (params.py).

A contradiction would be found by a stage that runs late, or by none.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vr.settings.params import (
    Benchmark,
    Evaluate,
    Params,
    Problems,
    Published,
    Report,
    ScoreInitial,
    ScorePosterior,
    Shared,
    Subsets,
    Weigh,
)
from vr.settings.ranges import BASELINES, ENTRY_NAME
from vr.settings.training import TRAININGS

Document = Mapping[str, Any]
MADE_HERE = ("base", "initial", "posterior", "final", *BASELINES)
"""The models of the pipeline's own stages: folders of models/."""


def errors(document: Document) -> list[str]:
    """Everything that is wrong in params.yaml, for whichever stage, one line each.

    Args:
        document: all of params.yaml.
    """
    found = dict.fromkeys(Params.unknown(document))  # several stages read a shared entry: it is named once
    for section in Params.sections():
        for name in section.names(document):
            try:
                section.read(document, *name)
            except ValueError as error:
                found.update(dict.fromkeys(str(error).splitlines()))
    return list(found or dict.fromkeys(contradictions(document)))


def contradictions(document: Document) -> list[str]:
    """What does not fit together, one line each.

    Args:
        document: all of params.yaml, each section of which can be read.
    """
    return [f"params.yaml: {line}" for check in _CHECKS for line in check(document)]


def _benchmarks_have_questions(document: Document) -> Iterator[str]:
    evaluate = Evaluate.read(document)
    for name in dict.fromkeys([*evaluate.benchmarks, *evaluate.samples]):
        if name not in document[Benchmark.section]:
            there_are = ", ".join(document[Benchmark.section]) or "none"
            yield (
                f"benchmark.{name} is missing, but evaluate.benchmarks or evaluate.samples names it "
                f"(there are: {there_are})"
            )


def _baselines_that_are_evaluated_are_trained(document: Document) -> Iterator[str]:
    trained = Shared.read(document).baselines
    for name in Evaluate.read(document).models:
        if name in BASELINES and name not in trained:
            with_it = ",".join([*trained, name])
            yield f"evaluate.models names {name}, but baselines does not; add it: -S 'baselines=[{with_it}]'"


def _published_models_have_names_of_their_own(document: Document) -> Iterator[str]:
    for (name,) in Published.names(document):
        if name in MADE_HERE:
            yield f"published.{name}: the name of a model that is made here ({', '.join(MADE_HERE)})"
        if not re.fullmatch(ENTRY_NAME, name):
            yield f"published.{name}: a name has letters, digits, _ and -, and begins with no -"


def _some_k_of_pass_at_k_is_drawn(document: Document) -> Iterator[str]:
    evaluate, least = Evaluate.read(document), min(Report.read(document).pass_at)
    for name in evaluate.benchmarks:
        if evaluate.samples[name] < least:
            yield f"report.pass_at: no k is within evaluate.samples.{name} = {evaluate.samples[name]}"


def _the_final_subset_is_a_part_of_the_questions(document: Document) -> Iterator[str]:
    subsets, most = Subsets.read(document), Problems.read(document).at_most
    if subsets.final.size == "all" or most is None:
        return
    if subsets.final.size > most:
        yield f"subsets.final.size = {subsets.final.size} is more than the {most} questions of problems.sources"
    elif subsets.disjoint and subsets.final.size == most:
        yield f"subsets.final.size = {most} with disjoint: true leaves no question for pi_0 and q to learn from"


def _a_step_takes_no_question_twice(document: Document) -> Iterator[str]:
    most = Problems.read(document).at_most
    for training in TRAININGS:
        settings = training.read(document)
        if settings.source is None and most is not None and (size := settings.batch_size) > most:
            place = training.section if "batch_size" in document[training.section] else training.defaults
            yield f"{place}.batch_size = {size} is more than the {most} questions of problems.sources"


def _log_probs_that_are_summed_anew_are_kept(document: Document) -> Iterator[str]:
    if not Weigh.read(document).token_logps:
        return
    scores: list[type[Params]] = [ScoreInitial]
    if Shared.read(document).proposal == "posterior":
        scores.append(ScorePosterior)
    if missing := [score.section for score in scores if not document[score.section]["token_logps"]]:
        yield f"weigh.token_logps needs {' and '.join(f'{section}.token_logps' for section in missing)}"


_CHECKS: tuple[Callable[[Document], Iterator[str]], ...] = (
    _benchmarks_have_questions,
    _baselines_that_are_evaluated_are_trained,
    _published_models_have_names_of_their_own,
    _some_k_of_pass_at_k_is_drawn,
    _the_final_subset_is_a_part_of_the_questions,
    _a_step_takes_no_question_twice,
    _log_probs_that_are_summed_anew_are_kept,
)
