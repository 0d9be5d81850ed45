"""The kinds of values that entries of params.yaml have: words, numbers in a range, names."""

import re
from collections import Counter
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field


def without_repeats(values: list[Any]) -> list[Any]:
    """The list itself, in which no value stands twice; else a ValueError."""
    if twice := [value for value, n in Counter(values).items() if n > 1]:
        raise ValueError(f"{twice[0]!r} may stand there once")
    return values


def _all_or_a_number(value: Any) -> Any:
    if value == "all" or (type(value) is int and 0 < value < 2**31):
        return value
    raise ValueError("should be `all` or a number above 0")


def _all_or_names(value: Any) -> Any:
    if value == "all" or (isinstance(value, list) and value and all(_is_name(item) for item in value)):
        return value
    raise ValueError("should be `all` or a list of names")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w+", value) is not None


Estimator = Literal["acc", "gml", "l", "uniform"]
Proposal = Literal["posterior", "initial"]
Hint = Literal["solution", "answer"]
Template = Literal["A", "B"]
LogpsFrom = Literal["scorer", "sampler"]
Ratio = Literal["per_token", "sum", "none"]
Baseline = Literal["sft"]
BASELINES: tuple[str, ...] = get_args(Baseline)
Precision = Literal["float32", "bfloat16"]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
"""A count, which fits a table's column."""
Questions = Annotated[int, Field(gt=0, le=50_000)]
"""Made here: the miniature has not many more different ones."""
Samples = Annotated[int, Field(gt=0, le=10_000)]
"""Texts drawn for one prompt."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""What every library takes, and what fits a table's column."""
NotEmpty = Annotated[str, Field(min_length=1)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(without_repeats)]
Baselines = Annotated[list[Baseline], AfterValidator(without_repeats)]
Size = Annotated[int | Literal["all"], BeforeValidator(_all_or_a_number)]
Layers = Annotated[list[str] | Literal["all"], BeforeValidator(_all_or_names)]
"""Names of a model's layers, without their place."""
Model = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""The name of a folder in models/, and a part of a DVC stage's name."""
ENTRY_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
"""As a model's name, without dots: `evaluate.samples.NAME` and `published.NAME` are entries of dvc.yaml's `params`."""
BenchmarkName = Annotated[str, Field(pattern=ENTRY_NAME)]
Models = Annotated[list[Model], Field(min_length=1), AfterValidator(without_repeats)]
BenchmarkNames = Annotated[list[BenchmarkName], Field(min_length=1), AfterValidator(without_repeats)]
