"""Items made on a thread, one in advance: their order, their errors, and what is left when nobody wants more."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tickrail.data.read_ahead import read_ahead

READER = "tickrail-read-ahead"


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(READER)]


def test_items_come_in_order_each_made_before_the_last_was_given_back() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(5):
            assert threading.current_thread().name.startswith(READER)
            made.release()
            yield number

    seen = []
    for number in read_ahead(items()):
        seen.append(number)
        if number == 0:  # the second is made while we have the first
            assert made.acquire(timeout=60)
            assert made.acquire(timeout=60)
    assert seen == [0, 1, 2, 3, 4]
    assert readers() == []


def test_nothing_and_none_are_items_like_others() -> None:
    assert list(read_ahead(iter(()))) == []
    assert list(read_ahead(iter((None, None)))) == [None, None]


def test_what_an_item_raises_comes_up_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError(5, "the disk is gone")

    reader, seen = read_ahead(items()), []
    with pytest.raises(OSError, match="the disk is gone"):
        for number in reader:
            seen.append(number)
    assert seen == [1, 2]
    assert readers() == []
    assert list(reader) == []


def test_who_stops_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000)
        finally:
            closed.set()

    with closing(read_ahead(items())) as reader:
        assert next(reader) == 0
        assert len(readers()) == 1
    assert closed.is_set()
    assert readers() == []
