"""Making the next item while the caller works on this one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, in order. A thread makes the next one while the caller works on this one.

    This helps where making an item releases Python's lock, as reading Parquet and encoding text do.

    Raises:
        Exception: whatever `items` raises, in the place of the item that could not be made.
    """
    iterator = iter(items)

    def make() -> list[T]:
        return list(islice(iterator, 1))

    with ThreadPoolExecutor(1) as thread:
        making = thread.submit(make)
        while item := making.result():  # an empty list at the end
            making = thread.submit(make)
            yield from item
