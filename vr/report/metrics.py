"""What is known of the evaluated models: the headline numbers (metrics.json) and the details (details.json).

The headlines are few, so that `dvc exp show` fits on one screen; all other counts are details.
Not here: how Avg@n and Pass@k are computed (vr/method/evaluation.py), the figures (figures.py).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import dataframely as dy
import polars as pl

from vr.method import evaluation
from vr.method.contamination import Overlaps
from vr.settings.params import Report
from vr.settings.ranges import BASELINES
from vr.tables.schemas import Evals
from vr.tables.vocabulary import JUDGED

EvalsOf = Mapping[tuple[str, str], dy.DataFrame[Evals]]
"""The evaluation of each (model, benchmark)."""
Headlines = dict[str, dict[str, dict[str, Any]]]
"""`<benchmark>.<model>` and their numbers."""
_COMPARED = ("initial", *BASELINES)
"""Models that the final one is compared with."""
OfBenchmarks = dict[str, dict[str, Any]]
"""What is known of each benchmark whichever model answers."""


def require_judged(evals: dy.DataFrame[Evals], name: str) -> None:
    """Refuse an evaluation that says nothing of its model. One that was not to be judged (kind `none`) may stand.

    Args:
        evals: at least one row: outcome, detail.
        name: of the table, for messages.

    Raises:
        ValueError: no response was judged.
    """
    outcome = evals["outcome"].cast(pl.String)
    if not outcome.is_in((*JUDGED, "not_run")).any():
        found = ", ".join(f"{value} {n}" for value, n in counts(outcome).items())
        raise ValueError(
            f"{name}: of {evals.height} responses none is judged ({found}), the first: {evals['detail'][0]}"
        )


def headlines(evals: EvalsOf, settings: Report) -> Headlines:
    """`<benchmark>.<model>`: avg_at_n, ci_low, ci_high, n, questions, pass_at_k; and `final_minus_<other>`.

    Where answers are not judged also avg_at_n_at_least and avg_at_n_at_most: Avg@n whatever their verdicts would be.
    The differences, by question, are to pi_0 and to the baselines, where they were evaluated beside `final`.
    """
    questions = {key: evaluation.per_question(frame) for key, frame in evals.items()}
    resampling = {"bootstrap": settings.bootstrap, "seed": settings.seed}
    found: Headlines = {}
    for (model, benchmark), of_model in questions.items():
        entry = evaluation.headline(of_model, pass_at=settings.pass_at, **resampling)
        found.setdefault(benchmark, {})[model] = entry
    for benchmark, models in found.items():
        for other in _COMPARED if "final" in models else ():
            if other in models:
                final, compared = questions["final", benchmark], questions[other, benchmark]
                models[f"final_minus_{other}"] = evaluation.difference(final, compared, **resampling)
    return found


def details(evals: EvalsOf, settings: Report) -> Headlines:
    """`<benchmark>.<model>`: what was not judged, the mean response length, counts, and the headline of each kind."""
    found: Headlines = {}
    for (model, benchmark), frame in evals.items():
        found.setdefault(benchmark, {})[model] = _details(frame, settings)
    return found


def _details(evals: dy.DataFrame[Evals], settings: Report) -> dict[str, Any]:
    questions = evaluation.per_question(evals)
    headline = partial(evaluation.headline, pass_at=settings.pass_at, bootstrap=settings.bootstrap, seed=settings.seed)
    return {
        **evaluation.unjudged(questions),
        "response_tokens": evals["response_tokens"].mean(),
        "judged_part": counts(evals["judged"]),
        "finish": counts(evals["finish"]),
        "outcome": counts(evals["outcome"]),
        "by_kind": {
            kind: evaluation.unjudged(of_kind) | headline(of_kind)
            for (kind,), of_kind in sorted(questions.partition_by("verifier", as_dict=True).items())
        },
    }


def of_benchmarks(held_out: Mapping[str, pl.DataFrame], overlaps: Overlaps) -> OfBenchmarks:
    """For each benchmark: how many questions are of which source, and how many of them training has too.

    Args:
        held_out: the questions of each benchmark: source, which also says whether the official rule judges them.
    """
    return {name: {"source": counts(held_out[name]["source"]), **asdict(overlap)} for name, overlap in overlaps.items()}


def counts(values: pl.Series) -> dict[str, int]:
    """How often each value of a column occurs, the most frequent first."""
    return dict(Counter(values.cast(pl.String).to_list()).most_common())
