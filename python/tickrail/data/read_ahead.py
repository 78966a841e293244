"""``read_ahead``: an iterator whose next item is made on a thread while the last one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

Item = TypeVar("Item")


def read_ahead(items: Iterator[Item]) -> Generator[Item]:
    """The same items in the same order, one made in advance: who decodes and who packs take a processor each.

    What the making of an item raises comes up in its place. ``items`` is only ever touched by one thread at a time, and
    is closed, with its thread ended, when this iterator is done or closed.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="tickrail-read-ahead") as reader:
        made = reader.submit(next, items, end)
        try:
            while (item := made.result()) is not end:
                made = reader.submit(next, items, end)
                yield item  # type: ignore[misc]  # not `end`
        finally:
            made.cancel()
            close = getattr(items, "close", None)
            if close is not None:
                reader.submit(close).result()
