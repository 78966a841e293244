"""Trades: what was opened and closed again, put together from fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["HELD_DTYPE", "TRADE_DTYPE", "by_pair", "rates_of", "trades_of"]

HELD_DTYPE: Final = np.dtype(
    [("strategy", "<u4"), ("instrument", "<u4"), ("net", "<f8"), ("price", "<f8"), ("ts_ns", "<i8")]
)
"""What was held before a run: ``net`` units (below zero when short), bought at ``price``, told at ``ts_ns``."""

TRADE_DTYPE: Final = np.dtype(
    [
        ("strategy", "<u4"),
        ("instrument", "<u4"),
        ("side", "<u4"),
        ("fills", "<u4"),
        ("opened_ns", "<i8"),
        ("closed_ns", "<i8"),
        ("quantity", "<f8"),
        ("entry_price", "<f8"),
        ("exit_price", "<f8"),
        ("fees", "<f8"),
        ("profit", "<f8"),
        ("rate", "<f8"),
        ("is_closed", "?"),
    ]
)
"""A trade, from flat to flat. ``side`` 1 was long and 2 short; ``quantity`` is all that was bought (sold, when short),
prices are averages; ``profit`` is after fees, in the currency of the price. The last one of an instrument may be open:
its ``exit_price``, ``profit`` and ``rate`` are NaN, its ``closed_ns`` 0. ``rate`` is what one unit of the price's
currency was worth in the run's when it was closed."""

#: What is left of a position is rounding below this part of the most held since it was flat, as in the core.
FLAT_FRACTION: Final = 1e-12


def trades_of(
    fills: npt.NDArray[np.void], multipliers: Sequence[float], held: npt.NDArray[np.void] | None = None
) -> npt.NDArray[np.void]:
    """All trades, in the order in which they were closed; those that are open come last.

    A fill that turns a position closes one trade and opens the next; its fee is split by quantity.

    Args:
        fills: As of ``Result.fills``.
        multipliers: What one unit at a price of 1 is worth, by number of instrument.
        held: What was held before, as of ``HELD_DTYPE``: it opens trades, and counts among their fills as none.
    """
    before = np.empty(0, fills.dtype) if held is None else _as_fills(held, fills.dtype)
    fills, is_fill = np.concatenate([before, fills]), np.arange(len(before) + len(fills)) >= len(before)
    found = [_of_pair(fills[mine], is_fill[mine], multipliers) for mine in by_pair(fills)]
    trades = np.concatenate(found) if found else np.empty(0, TRADE_DTYPE)
    order = np.lexsort((trades["opened_ns"], trades["closed_ns"], ~trades["is_closed"]))
    ordered: npt.NDArray[np.void] = trades[order]
    return ordered


def _as_fills(held: npt.NDArray[np.void], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """As if it had been bought at its price when the run began, for no fee."""
    held = held[held["net"] != 0.0]
    rows = np.zeros(len(held), dtype)
    for name in ("strategy", "instrument", "price", "ts_ns"):
        rows[name] = held[name]
    rows["side"], rows["quantity"] = np.where(held["net"] > 0.0, 1, 2), np.abs(held["net"])
    return rows


def _of_pair(
    fills: npt.NDArray[np.void], is_fill: npt.NDArray[np.bool_], multipliers: Sequence[float]
) -> npt.NDArray[np.void]:
    """The trades of one strategy in one instrument."""
    signed = np.where(fills["side"] == 1, 1.0, -1.0) * fills["quantity"]
    after = _settled(signed)
    before = np.concatenate([[0.0], after[:-1]])
    # A fill that turns the position is two: what closes, and what opens.
    turns = before * after < 0.0
    place = np.repeat(np.arange(len(fills)), 1 + turns)
    is_second = np.concatenate([[False], place[1:] == place[:-1]])
    parts = signed[place]
    first = np.flatnonzero(turns[place] & ~is_second)
    parts[first], parts[first + 1] = -before[turns], after[turns]
    share = np.abs(parts) / np.abs(signed[place])
    net = np.where(turns[place] & ~is_second, 0.0, after[place])
    number = np.cumsum(np.concatenate([[0.0], net[:-1]]) == 0.0) - 1
    multiplier = multipliers[int(fills["instrument"][0])]
    trades = _summed(fills[place], (parts, fills["fee"][place] * share, net), number, multiplier)
    trades["fills"] = np.bincount(number, is_fill[place], minlength=len(trades))
    return trades


def _summed(
    fills: npt.NDArray[np.void],
    columns: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]],
    number: npt.NDArray[np.int64],
    multiplier: float,
) -> npt.NDArray[np.void]:
    """Parts of fills, by the number of their trade: units, fee and the position afterwards of each."""
    parts, fees, net = columns
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(starts[1:], len(number)) - 1
    long = parts[starts] > 0.0
    opens = (parts > 0.0) == long[number]
    prices = fills["price"]

    def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(number, values, minlength=len(starts)).astype(np.float64)

    trades = np.empty(len(starts), TRADE_DTYPE)
    bought, left = total(np.where(opens, np.abs(parts), 0.0)), total(np.where(opens, 0.0, np.abs(parts)))
    closed = net[ends] == 0.0
    trades["strategy"], trades["instrument"] = fills["strategy"][starts], fills["instrument"][starts]
    trades["side"] = np.where(long, 1, 2)
    trades["opened_ns"], trades["closed_ns"] = fills["ts_ns"][starts], np.where(closed, fills["ts_ns"][ends], 0)
    trades["quantity"], trades["fees"], trades["is_closed"] = bought, total(fees), closed
    with np.errstate(divide="ignore", invalid="ignore"):
        trades["entry_price"] = total(np.where(opens, np.abs(parts) * prices, 0.0)) / bought
        trades["exit_price"] = np.where(closed, total(np.where(opens, 0.0, np.abs(parts) * prices)) / left, np.nan)
    gained = -total(parts * prices) * multiplier - trades["fees"]
    trades["profit"] = np.where(closed, gained, np.nan)
    trades["rate"] = np.where(closed, rates_of(fills)[ends], np.nan)
    return trades


def by_pair(fills: npt.NDArray[np.void]) -> list[npt.NDArray[np.int64]]:
    """The places of the fills of each strategy in each instrument, in their order; by one sort for all."""
    pairs = fills["strategy"].astype(np.uint64) << np.uint64(32) | fills["instrument"]
    order = np.argsort(pairs, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(pairs[order])) + 1) if len(order) else []


def rates_of(fills: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """What one unit of each fill's currency was worth in the run's; 1.0 where fills do not say."""
    rates: npt.NDArray[np.float64] = fills["rate"] if "rate" in (fills.dtype.names or ()) else np.ones(len(fills))
    return rates


def _settled(signed: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The position after each fill, fill by fill as the core has it: a sum over all would keep the rounding of each."""
    after, net, largest = [], 0.0, 0.0
    for units in signed.tolist():
        before, net = net, net + units
        if abs(net) < FLAT_FRACTION * max(largest, abs(before), abs(units)):
            net = largest = 0.0
        else:
            largest = abs(net) if net * before < 0.0 else max(largest, abs(net))
        after.append(net)
    return np.array(after)
