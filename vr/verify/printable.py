"""Text that may go into a table and onto a terminal, whoever wrote it: a program, a model or a scorer. A leaf."""

MAX_DETAIL_CHARACTERS = 300


def printable(text: str) -> str:
    r"""One line of at most MAX_DETAIL_CHARACTERS, as `visible` gives it. The length of `text` costs nothing."""
    return visible(text[:MAX_DETAIL_CHARACTERS])[:MAX_DETAIL_CHARACTERS]


def visible(text: str) -> str:
    r"""The text with each character that no terminal shows as itself written as an escape, such as `\x1b` or `\n`.

    Those are control characters, line ends, marks that turn the direction of writing, and lone surrogates, which no
    Parquet file and no UTF-8 text can hold.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
