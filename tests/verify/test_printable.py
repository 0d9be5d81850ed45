"""Text of programs and models becomes text that tables hold and terminals show."""

import time

import polars as pl
import pytest

from vr.verify.printable import MAX_DETAIL_CHARACTERS, printable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wrong output", "wrong output"),
        ("Größe ≤ 3, 答案", "Größe ≤ 3, 答案"),
        ("\ud800", r"\ud800"),
        ("\udcff", r"\udcff"),  # a byte that was no UTF-8
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m", r"\x9b31m"),  # C1: an escape sequence of one character
        ("a\nb\rc\td\0e", r"a\nb\rc\td\x00e"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u2028b\u200bc\ufeff", r"a\u2028b\u200bc\ufeff"),
        ("\U000e0041", r"\U000e0041"),  # a tag character, which is never drawn
    ],
)
def test_what_no_terminal_shows_as_itself_becomes_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert visible(text) == shown


def test_every_character_there_is_can_be_stored_and_shown() -> None:
    shown = visible("".join(map(chr, range(0x110000))))
    assert shown.isprintable()
    assert pl.DataFrame({"detail": [shown]}).height == 1


def test_a_long_text_is_cut_and_its_length_costs_nothing() -> None:
    text = "\x1b" * 50_000_000
    begin = time.perf_counter()
    shown = printable(text)
    assert time.perf_counter() - begin < 0.1  # all of it takes seconds
    assert shown == (r"\x1b" * MAX_DETAIL_CHARACTERS)[:MAX_DETAIL_CHARACTERS]
