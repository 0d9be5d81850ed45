"""Items made one ahead."""

import threading
from collections.abc import Iterator

import pytest

from vr.tables.ahead import ahead


def test_items_come_in_order() -> None:
    assert list(ahead(n * n for n in range(5))) == [0, 1, 4, 9, 16]


def test_none_and_empty_items_are_items() -> None:
    assert list(ahead([None, [], 0])) == [None, [], 0]


def test_no_items_give_none() -> None:
    assert list(ahead([])) == []


def test_next_item_is_made_while_the_caller_works_and_no_further_one() -> None:
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                second.set()
            if number == 2:
                third.set()
            yield number

    found = ahead(items())
    assert next(found) == 0
    assert second.wait(10)
    assert not third.wait(0.2)
    assert made == [0, 1]
    assert list(found) == [1, 2]


def test_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third is broken")

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="the third is broken"):
        next(found)


def test_thread_ends_with_a_caller_that_stops_early() -> None:
    before = threading.active_count()
    found = ahead(range(1000))
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
