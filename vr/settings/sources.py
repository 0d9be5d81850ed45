"""The entries of params.yaml's section `problems`: one class for each source of training questions.

Each has a `size`: how many questions it makes at most, or `all`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vr.settings.entries import Entries
from vr.settings.ranges import NotEmpty, Probability, Questions, Seed, Size

Place = NotEmpty | None
"""A hub id, a folder in the hub's layout, or a file; null: it is not there."""


class Miniature(Entries):
    """The embedded miniature (vr/sources/miniature.py)."""

    train: Questions
    """training questions"""
    programs: Probability
    """share of programming tasks"""
    slips: Probability
    """share of teacher traces with one wrong step"""
    guesses: Probability
    """share of teacher traces that only guess"""
    seed: Seed

    @model_validator(mode="after")
    def _slips_and_guesses_leave_no_negative_rest(self) -> Self:
        if self.slips + self.guesses > 1:
            raise ValueError(f"slips + guesses = {self.slips + self.guesses}: at most 1")
        return self

    @property
    def size(self) -> int:
        """Questions made."""
        return self.train


class BespokeStratos(Entries):
    """Bespoke-Stratos-17k, and the sets that its rows were made from (vr/sources/bespoke_stratos.py)."""

    data: NotEmpty
    """the set itself: a hub id, a folder in the hub's layout, or a file"""
    revision: NotEmpty | None
    """pinned commit of the set on the hub"""
    names: Place
    """set that names the source row of each row; null: source rows are found by their text"""
    numina: Place
    apps: Place
    taco: Place
    ruc: Place
    """source sets, from which reference answers and tests come; null: the row's own answer is the reference"""
    rows: Size
    """all, or how many of the first"""

    @property
    def size(self) -> int | Literal["all"]:
        """Questions read."""
        return self.rows


class Gsm8k(Entries):
    """GSM8K's training questions with their worked solutions (vr/sources/gsm8k.py)."""

    data: NotEmpty
    """a hub id, a folder in the hub's layout, or a file"""
    revision: NotEmpty | None
    """pinned commit of the set on the hub"""
    rows: Size
    """all, or how many of the first"""

    @property
    def size(self) -> int | Literal["all"]:
        """Questions read."""
        return self.rows


class Gym(Entries):
    """Generators of reasoning_gym with worked solutions (vr/sources/gym.py)."""

    datasets: Annotated[dict[NotEmpty, dict[str, Any]], Field(min_length=1)]
    """name of each generator, with its configuration"""
    rows: Questions
    """questions of all generators together, an equal share each"""
    seed: Seed

    @property
    def size(self) -> int:
        """Questions made."""
        return self.rows


class Table(Entries):
    """A table of the user's own (vr/sources/table.py)."""

    path: NotEmpty
    """a Parquet or JSONL file"""
    name: NotEmpty
    """what the rows are called: their source, and the begin of their problem_ids"""

    @property
    def size(self) -> Literal["all"]:
        """Questions read."""
        return "all"
