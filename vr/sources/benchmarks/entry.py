"""What is said of a published set so that its rows can become questions (catalogue.py says it)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vr.settings.params import HubBenchmark

Row = Mapping[str, Any]
"""Column and value of one row of a set."""

QUESTION = "{question}"
"""Where the question stands in a prompt."""


@dataclass(frozen=True)
class Entry:
    """One benchmark of the hub."""

    hub: str
    """its id, and the path of its folder below `benchmark_folder`"""
    revision: str | None
    """pinned commit; None: none is known, the main branch is read"""
    config: str | None
    """the set's configuration; None where it has one"""
    split: str
    question: str
    """column of the question"""
    prompt: str
    """the user turn, with QUESTION in it"""
    verifier: str
    """how an answer is judged; a row may say otherwise"""
    filled: Callable[[Row, "Entry", HubBenchmark, str], dict[str, Any]]
    """makes the columns of schemas.Benchmark that are not the same for all sets, given the problem_id too"""
    columns: tuple[str, ...]
    """the other columns that are read"""
    n: int
    """answers a question in the paper (App. D); params.yaml's evaluate.samples says how many are drawn"""
    size: int
    """published number of questions, after `keep`"""
    licence: str
    id: str | None = None
    """column that names a row; None: its number in the split"""
    keep: tuple[str, str] | None = None
    """(column, text): only rows whose column contains the text"""
    may_be_null: tuple[str, ...] = ()
    """columns that some rows have no value in"""
    official: str = ""
    """what the official code does that this project does not, in words; empty: nothing"""
    files: tuple[str, ...] = ()
    """JSONL files that are read themselves, because the hub makes the split by a script; none: the split's own"""

    def asked(self, question: str) -> str:
        """The user turn for a question."""
        return self.prompt.replace(QUESTION, question)

    @property
    def read(self) -> tuple[str, ...]:
        """Every column that is needed."""
        kept = (self.keep[0],) if self.keep else ()
        named = (self.id,) if self.id else ()
        return tuple(dict.fromkeys((*named, *kept, self.question, *self.columns)))
