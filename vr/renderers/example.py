"""One sequence of token ids and what its parts are: what is scored and trained on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A sequence of T token ids."""

    ids: list[int]
    """T ids"""
    trained_from: int
    """the loss covers ids[trained_from:]"""
    trace: tuple[int, int]
    """ids[a:b] is z with its end marker"""
    answer: tuple[int, int] | None = None
    """ids[a:b] is y with its end marker; None in the posterior's examples"""
