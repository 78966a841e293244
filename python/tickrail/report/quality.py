"""How well orders were filled: against the market when they were decided, and against where it went afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail._native import TickArray
from tickrail.errors import DataError

__all__ = ["HORIZONS_NS", "prices_of", "quality_of"]

HORIZONS_NS: Final = (1_000_000_000, 10_000_000_000, 60_000_000_000)
"""One, ten and sixty seconds."""
#: Codes of quotes, trades and bars in the record.
QUOTE, TRADE, BAR = 1, 2, 3


def quality_of(
    fills: npt.NDArray[np.void],
    made_ns: npt.NDArray[np.int64],
    instruments: Sequence[str],
    ticks: Any,
    horizons_ns: Sequence[int] = HORIZONS_NS,
) -> npt.NDArray[np.void]:
    """One row a fill: ``arrival``, ``slippage`` and ``markout_N_s`` for each horizon.

    Args:
        fills: As of ``Result.fills``.
        made_ns: When the order of each fill was decided.
        instruments: Ids by their number in ``fills``.
        ticks: The data that the run was over: a ``TickArray``, the path of a tick file, or a list or dict of these.
        horizons_ns: How long after a fill the market is looked at.

    Returns:
        ``arrival`` is the last mid (price of a trade, close of a bar) at the decision; ``slippage`` is what a unit cost
        more than that, and ``markout`` what it was worth more than its price after the horizon, both signed so that a
        positive slippage is a cost and a positive markout a gain. NaN where the data has no price then.
    """
    names = [f"markout_{horizon / 1e9:g}_s" for horizon in horizons_ns]
    rows = np.full(len(fills), np.nan, [(name, "<f8") for name in ("arrival", "slippage", *names)])
    for number in np.unique(fills["instrument"]):
        chosen = fills["instrument"] == number
        ts, mids = prices_of(ticks, instruments[number])
        prices = fills["price"][chosen]
        signs = np.where(fills["side"][chosen] == 1, 1.0, -1.0)
        arrival = _at(ts, mids, made_ns[chosen])
        rows["arrival"][chosen], rows["slippage"][chosen] = arrival, signs * (prices - arrival)
        for name, horizon in zip(names, horizons_ns, strict=True):
            rows[name][chosen] = signs * (_at(ts, mids, fills["ts_ns"][chosen] + horizon, ends=True) - prices)
    return rows


def prices_of(ticks: Any, instrument: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Times, and mids of quotes, prices of trades, closes of bars; empty where ``ticks`` lacks the instrument.

    Raises:
        DataError: ``ticks`` is something else than ``quality_of`` takes.
    """
    found = [_prices(array, instrument) for array in _arrays(ticks)]
    ts, marks = (np.concatenate(columns) for columns in zip(*found, strict=True))
    if len(found) == 1:
        return ts, marks
    order = np.argsort(ts, kind="stable")
    return ts[order], marks[order]


def _arrays(ticks: Any) -> Iterator[TickArray]:
    if isinstance(ticks, TickArray):
        yield ticks
    elif isinstance(ticks, str | os.PathLike):
        yield TickArray.open(ticks)
    elif isinstance(ticks, Mapping) and ticks:
        for one in ticks.values():
            yield from _arrays(one)
    elif isinstance(ticks, Sequence) and len(ticks):
        for one in ticks:
            yield from _arrays(one)
    else:
        found = "empty" if isinstance(ticks, Mapping | Sequence) else type(ticks).__name__
        raise DataError(
            f"ticks is {found}: expected the run's data",
            hint="a TickArray, as tickrail.data.read_ticks gives, the path of a tick file, or a list or dict of these",
        )


def _prices(ticks: TickArray, instrument: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    records = ticks.numpy()
    known = {str(one): place for place, one in enumerate(ticks.instruments)}
    records = records[records["instrument"] == known.get(instrument, len(known))]
    kind = records["kind"]
    first, second, last = records["value_0"], records["value_1"], records["value_3"]
    marks = np.where(kind == QUOTE, (first + second) * 0.5, np.where(kind == BAR, last, first))
    told = np.isin(kind, (QUOTE, TRADE, BAR)) & np.isfinite(marks)
    # Decisions and fills have the times of the run's clock, which goes by this key.
    return records[ticks.order_by][told], marks[told]


def _at(
    ts: npt.NDArray[np.int64], marks: npt.NDArray[np.float64], when: npt.NDArray[np.int64], *, ends: bool = False
) -> npt.NDArray[np.float64]:
    """The last mark at each time; NaN before the first, and with ``ends`` beyond the last."""
    if not len(ts):
        return np.full(len(when), np.nan)
    place = np.searchsorted(ts, when, side="right") - 1
    found = np.where(place >= 0, marks[np.maximum(place, 0)], np.nan)
    return np.where(when > ts[-1], np.nan, found) if ends else found
