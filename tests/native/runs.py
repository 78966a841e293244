"""Small runs on the native dispatcher, for the tests beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tickrail import _native
from tickrail.domain.ticks import QUOTE_DTYPE

EURUSD = "EURUSD.SIM"
GBPUSD = "GBPUSD.SIM"


def quotes(times: Iterable[int], base: float = 1.0) -> npt.NDArray[np.void]:
    """Quotes at ``times``: the bid is ``base`` plus the time over 1000, the ask 0.5 above."""
    stamps = np.asarray(times if isinstance(times, np.ndarray) else list(times), dtype=np.int64)
    records = np.zeros(len(stamps), QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = stamps
    records["kind"] = 1
    records["bid"] = base + stamps / 1000
    records["ask"] = records["bid"] + 0.5
    records["bid_size"] = records["ask_size"] = 1.0
    return records


def array(times: Iterable[int], instrument: str = EURUSD) -> _native.TickArray:
    return _native.TickArray.from_records(quotes(times), [instrument])


def dispatcher(*feeds: _native.TickArray, fee_rate: float = 0.0, **settings: Any) -> _native.Dispatcher:
    names = sorted({str(name) for feed in feeds for name in feed.instruments})
    made = _native.Dispatcher(instruments=[{"id": name, "fee_rate": fee_rate} for name in names], **settings)
    for number, feed in enumerate(feeds):
        made.add_feed(f"feed{number}", feed)
    return made


class Recorder(_native.StrategyCore):
    """Keeps every tick object."""

    def __init__(self) -> None:
        self.kept: list[_native.Tick] = []

    def on_tick(self, tick: _native.Tick) -> None:
        self.kept.append(tick)


def endless(feeds: int = 512) -> _native.Dispatcher:
    """A run over 128 million ticks, which nobody waits for: what stops it has many seconds on the slowest machine."""
    return dispatcher(*[array(np.arange(1, 250_001))] * feeds)
