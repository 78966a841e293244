"""Made-up ticks: a random walk of quotes, the same for the same seed everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from tickrail._native import TickArray, TickFileWriter, TickGenerator
from tickrail.data.times import TimeLike, to_ns

__all__ = ["DEFAULT_INSTRUMENT", "DEFAULT_START", "generate_file", "generate_ticks", "iter_ticks"]

DEFAULT_INSTRUMENT: Final = "EURUSD.SIM"
DEFAULT_START: Final = "2024-01-01T00:00:00Z"
#: Ticks made at once: 16 MB, far below any memory and long enough that the calls do not count.
CHUNK: Final = 262_144

InstrumentLike: TypeAlias = Mapping[str, Any] | str


def iter_ticks(
    count: int,
    seed: int = 0,
    *,
    instruments: Sequence[InstrumentLike] = (DEFAULT_INSTRUMENT,),
    start: TimeLike = DEFAULT_START,
    mean_interval_ns: int = 1_000_000,
    chunk: int = CHUNK,
) -> Iterator[TickArray]:
    """Yield ``count`` quotes in arrays of ``chunk``; the chunk does not change the ticks.

    Args:
        count: How many quotes in all.
        seed: Decides everything random.
        instruments: Ids or mappings; a ``price_increment`` decides the digits of prices.
        start: The first quote comes after it.
        mean_interval_ns: Mean time between two quotes of all instruments together.
        chunk: Quotes an array.

    Raises:
        ValueError: A count below zero, no instrument, a start before 1970.
        OverflowError: The times pass the year 2262.
    """
    if count < 0 or chunk < 1:
        msg = f"count is {count} and chunk {chunk}: expected at least 0 and 1"
        raise ValueError(msg)
    generator = TickGenerator(seed, instruments, start_ns=to_ns(start), mean_interval_ns=mean_interval_ns)
    for done in range(0, count, chunk):
        yield generator.take(min(chunk, count - done))


def generate_ticks(
    count: int,
    seed: int = 0,
    *,
    instruments: Sequence[InstrumentLike] = (DEFAULT_INSTRUMENT,),
    start: TimeLike = DEFAULT_START,
    mean_interval_ns: int = 1_000_000,
) -> TickArray:
    """Make ``count`` quotes in memory (64 bytes each); see ``iter_ticks`` for the arguments.

    >>> len(generate_ticks(1_000, seed=7))
    1000
    """
    generator = TickGenerator(seed, instruments, start_ns=to_ns(start), mean_interval_ns=mean_interval_ns)
    if count < 0:
        msg = f"count is {count}: expected at least 0"
        raise ValueError(msg)
    return generator.take(count)


def generate_file(
    path: str | os.PathLike[str],
    count: int,
    seed: int = 0,
    *,
    instruments: Sequence[InstrumentLike] = (DEFAULT_INSTRUMENT,),
    start: TimeLike = DEFAULT_START,
    mean_interval_ns: int = 1_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write ``count`` quotes to the tick file ``path`` in bounded memory; it appears whole or not at all.

    ``progress(done, count)`` is called after every chunk. Returns what ``TickFileWriter.commit`` reports; see
    ``iter_ticks`` for the other arguments.
    """
    chunks = iter_ticks(count, seed, instruments=instruments, start=start, mean_interval_ns=mean_interval_ns)
    begun = list(islice(chunks, 1))  # what is wrong with the arguments is said before a folder is made
    Path(os.fspath(path)).parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with TickFileWriter(path, instruments=instruments) as writer:
        for ticks in chain(begun, chunks):
            done += writer.append_ticks(ticks, origin="generator", first_row=done + 1)
            if progress is not None:
                progress(done, count)
        return writer.commit()
