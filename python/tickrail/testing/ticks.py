"""Ticks by the handful, vectorised and the same for the same seed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail._native import TickArray
from tickrail.domain.ticks import TICK_DTYPE, Kind

__all__ = ["START_NS", "bars", "mixed", "quotes", "trades"]

START_NS: Final = 1_700_000_000_000_000_000
"""When made ticks begin: some second in November 2023."""
INSTRUMENT: Final = "EURUSD.SIM"
NO_SIDE, BUY, SELL = 0, 1, 2


def quotes(
    count: int,
    *,
    instrument: str = INSTRUMENT,
    seed: int = 0,
    start_ns: int = START_NS,
    step_ns: int = 1_000_000_000,
    price: float = 1.1,
    spread: float = 0.0002,
    volatility: float = 1e-4,
) -> TickArray:
    """``count`` quotes, ``step_ns`` apart, whose mid is a random walk from ``price`` with steps of ``volatility``.

    >>> len(quotes(3))
    3
    """
    records, mid = _begun(count, Kind.QUOTE, start_ns, step_ns, _walk(count, seed, price, volatility))
    records["value_0"], records["value_1"] = mid - spread / 2, mid + spread / 2
    records["value_2"] = records["value_3"] = 1_000_000.0
    return TickArray.from_records(records, [instrument])


def trades(
    count: int,
    *,
    instrument: str = INSTRUMENT,
    seed: int = 0,
    start_ns: int = START_NS,
    step_ns: int = 1_000_000_000,
    price: float = 1.1,
    volatility: float = 1e-4,
) -> TickArray:
    """``count`` trades of one to a hundred units, by buyers and sellers in turn of chance."""
    records, walk = _begun(count, Kind.TRADE, start_ns, step_ns, _walk(count, seed, price, volatility))
    rng = np.random.default_rng([seed, 1])
    records["value_0"], records["value_2"] = walk, rng.integers(1, 101, count)
    records["side"] = rng.integers(BUY, SELL + 1, count)
    return TickArray.from_records(records, [instrument])


def bars(
    count: int,
    *,
    instrument: str = INSTRUMENT,
    seed: int = 0,
    start_ns: int = START_NS,
    step_ns: int = 60_000_000_000,
    price: float = 1.1,
    volatility: float = 1e-3,
) -> TickArray:
    """``count`` bars that close ``step_ns`` apart; each opens where the one before closed."""
    walk = _walk(count + 1, seed, price, volatility)
    records, _ = _begun(count, Kind.BAR, start_ns, step_ns, walk[1:])
    opened, closed = walk[:-1], walk[1:]
    reach = np.abs(closed - opened) * 0.5
    records["value_0"], records["value_3"] = opened, closed
    records["value_1"], records["value_2"] = np.maximum(opened, closed) + reach, np.minimum(opened, closed) - reach
    records["sequence"] = np.full(count, 100.0).view(np.uint64)  # the volume of a bar stands there
    return TickArray.from_records(records, [instrument])


def mixed(
    count: int, *, instruments: tuple[str, ...] = (INSTRUMENT,), seed: int = 0, step_ns: int = 1_000
) -> TickArray:
    """Quotes and trades of several instruments at times that often coincide."""
    rng = np.random.default_rng([seed, 2])
    records, _ = _begun(count, Kind.QUOTE, START_NS, 0, _walk(count, seed, 100.0, 0.01))
    records["ts_event"] = records["ts_init"] = START_NS + step_ns * np.cumsum(rng.integers(0, 2, count))
    records["instrument"] = rng.integers(0, len(instruments), count)
    is_trade = rng.random(count) < 0.5
    middle = _walk(count, seed, 100.0, 0.01)
    records["value_0"], records["value_1"] = middle, middle + 0.01
    records["value_2"] = records["value_3"] = 1.0
    records["kind"] = np.where(is_trade, int(Kind.TRADE), int(Kind.QUOTE))
    records["side"] = np.where(is_trade, BUY, NO_SIDE)
    records["value_1"][is_trade] = records["value_3"][is_trade] = 0.0
    return TickArray.from_records(records, list(instruments))


def _walk(count: int, seed: int, price: float, volatility: float) -> npt.NDArray[np.float64]:
    """A price that never falls to zero, however volatile."""
    steps = np.random.default_rng(seed).normal(0.0, volatility / price, count)
    return np.asarray(price * np.exp(np.cumsum(steps)), dtype=np.float64)


def _begun(
    count: int, kind: Kind, start_ns: int, step_ns: int, walk: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    records = np.zeros(count, TICK_DTYPE)
    records["ts_event"] = records["ts_init"] = start_ns + step_ns * np.arange(count, dtype=np.int64)
    records["kind"] = int(kind)
    records["sequence"] = np.arange(1, count + 1)
    return records, walk
