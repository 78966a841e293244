"""Market data from nowhere: made ticks, as a recorded feed and as a live stream."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail._native import InstrumentId, Tick, TickArray
from tickrail.domain.near import did_you_mean
from tickrail.domain.ticks import TICK_DTYPE
from tickrail.errors import ConnectivityError, DataError
from tickrail.testing.fakes import Fake
from tickrail.testing.ticks import mixed

__all__ = ["FakeMarketData"]

STEP_NS: Final = 1_000_000


class FakeMarketData(Fake):
    """Ticks of a seed, or those that a test pushes.

    As a feed, ``open`` hands out ``count`` made ticks; as a live port, ``stream`` yields what ``push`` is given, of the
    instruments that were subscribed to, until ``close`` or ``disconnect``.

    Args:
        name: Id of the table that names it.
        count: How many ticks ``open`` has.
        seed: Of these.
        instruments: Ids.
    """

    def __init__(
        self, *, name: str = "fake", count: int = 1_000, seed: int = 0, instruments: Sequence[str] = ("EURUSD.SIM",)
    ) -> None:
        super().__init__()
        self.name = name
        self.is_closed = False
        self._instruments = tuple(instruments)
        self._ticks = mixed(count, instruments=self._instruments, seed=seed, step_ns=STEP_NS)
        self._wanted: set[str] = set()
        self._seen: dict[str, list[Tick]] = {one: [] for one in self._instruments}
        self._stream: queue.SimpleQueue[Tick | BaseException | None] = queue.SimpleQueue()

    # ---- a recorded feed ---------------------------------------------------------------------------------------

    def open(self) -> TickArray:
        """The made ticks."""
        self._note("open")
        return self._ticks

    def close(self) -> None:
        """End the stream."""
        self._note("close")
        if not self.is_closed:
            self.is_closed = True
            self._stream.put(None)

    # ---- a live port -------------------------------------------------------------------------------------------

    @property
    def instruments(self) -> Sequence[str]:
        """Ids."""
        return self._instruments

    def instrument(self, instrument: InstrumentId | str) -> Mapping[str, Any]:
        """Facts of one."""
        self._note("instrument", instrument=str(instrument))
        self._require(instrument)
        rows = {row["id"]: row for row in self._ticks.instrument_table}
        return dict(rows[str(instrument)])

    def latest_tick(self, instrument: InstrumentId | str) -> Tick | None:
        """The last one that was pushed."""
        self._note("latest_tick", instrument=str(instrument))
        seen = self._seen[self._require(instrument)]
        return seen[-1] if seen else None

    def latest_bar(self, instrument: InstrumentId | str) -> Tick | None:
        """The last bar that was pushed."""
        self._note("latest_bar", instrument=str(instrument))
        return next((tick for tick in reversed(self._seen[self._require(instrument)]) if tick.kind == "BAR"), None)

    def history(self, instrument: InstrumentId | str, count: int) -> npt.NDArray[np.void]:
        """The last ones that were pushed."""
        self._note("history", instrument=str(instrument), count=count)
        if count < 0:
            raise DataError(f"history of {count} records")
        kept = self._seen[self._require(instrument)]
        kept = kept[len(kept) - min(count, len(kept)) :]
        records = np.zeros(len(kept), TICK_DTYPE)
        for place, tick in enumerate(kept):
            records[place] = (
                np.frombuffer(tick.to_bytes(), TICK_DTYPE)[0] if hasattr(tick, "to_bytes") else _record(tick)
            )
        return records

    def subscribe(self, instrument: InstrumentId | str) -> None:
        """Let ``stream`` have its ticks."""
        self._note("subscribe", instrument=str(instrument))
        self._wanted.add(self._require(instrument))

    def unsubscribe(self, instrument: InstrumentId | str) -> None:
        """Spare ``stream`` its ticks."""
        self._note("unsubscribe", instrument=str(instrument))
        self._wanted.discard(self._require(instrument))

    def stream(self) -> Iterator[Tick]:
        """What is pushed from now on; waits for it."""
        self._note("stream")
        return iter(self._next, None)

    # ---- for the test ------------------------------------------------------------------------------------------

    def push(self, ticks: TickArray) -> None:
        """Let the market move."""
        for tick in ticks:
            name = str(tick.instrument)
            self._seen[self._require(name)].append(tick)
            if name in self._wanted:
                self._stream.put(tick)

    def disconnect(self) -> None:
        """Lose the connection: the stream raises, once what was pushed has been taken."""
        self._stream.put(ConnectivityError(f"feed {self.name} has lost its connection"))

    def _next(self) -> Tick | None:
        got = self._stream.get()
        if isinstance(got, BaseException):
            raise got
        return got

    def _require(self, instrument: InstrumentId | str) -> str:
        name = str(instrument)
        if name not in self._seen:
            raise DataError(f"feed {self.name} has no instrument '{name}'{did_you_mean(name, self._seen)}")
        return name


def _record(tick: Tick) -> tuple[Any, ...]:
    sides = {"NONE": 0, "BUY": 1, "SELL": 2}
    kinds = {"QUOTE": 1, "TRADE": 2, "BAR": 3, "GAP": 4, "STALE": 5, "CUSTOM": 6}
    side = sides.get(getattr(tick, "side", "NONE") or "NONE", 0)
    return (tick.ts_event, tick.ts_init, tick.sequence, 0, kinds.get(tick.kind, 0), side, tick.flags, *tick.values)
