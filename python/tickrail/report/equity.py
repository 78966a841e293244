"""Equity from fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail.report.trades import by_pair

__all__ = ["ALL_STRATEGIES", "EQUITY_DTYPE", "POSITION_DTYPE", "WORTH_DTYPE", "equity_by_currency", "positions_of"]

ALL_STRATEGIES: Final = 2**32 - 1
"""The number that stands for all strategies together in ``Result.worth``."""
WORTH_DTYPE: Final = np.dtype([("ts_ns", "<i8"), ("equity", "<f8"), ("gross", "<f8"), ("strategy", "<u8")])
POSITION_DTYPE: Final = np.dtype(
    [
        ("strategy", "<u4"),
        ("instrument", "<u4"),
        ("net", "<f8"),
        ("average_price", "<f8"),
        ("realised", "<f8"),
        ("unrealised", "<f8"),
        ("fees", "<f8"),
        ("fills", "<u8"),
        ("mark", "<f8"),
    ]
)
EQUITY_DTYPE: Final = np.dtype([("ts_ns", "<i8"), ("net", "<f8")])


def equity_by_currency(fills: npt.NDArray[np.void], currencies: Sequence[str]) -> dict[str, npt.NDArray[np.void]]:
    """Realised profit less fees after each fill; ``currencies`` by number of instrument."""
    gains = _gains(fills)
    of_fill = np.asarray(currencies, dtype=object)[fills["instrument"]] if len(fills) else np.empty(0, dtype=object)
    curves: dict[str, npt.NDArray[np.void]] = {}
    for currency in dict.fromkeys(of_fill):
        chosen = of_fill == currency
        curve = np.empty(int(chosen.sum()), EQUITY_DTYPE)
        curve["ts_ns"] = fills["ts_ns"][chosen]
        curve["net"] = np.cumsum(gains[chosen])
        curves[currency] = curve
    return curves


def positions_of(strategies: Sequence[Any], instruments: Sequence[str]) -> npt.NDArray[np.void]:
    """What strategies held at the end, one row a strategy and instrument that it traded."""
    figures = (POSITION_DTYPE.names or ())[2:]
    rows = [
        (number, instruments.index(one.instrument), *(getattr(one, name) for name in figures))
        for number, strategy in enumerate(strategies)
        for one in strategy.positions
    ]
    return np.array(rows, POSITION_DTYPE)


def _gains(fills: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """What each fill added. ``realised`` counts up within a strategy and instrument, so that it is a difference."""
    gains = np.empty(len(fills), np.float64)
    for chosen in by_pair(fills):
        gains[chosen] = np.diff(fills["realised"][chosen], prepend=0.0)
    result: npt.NDArray[np.float64] = gains - fills["fee"]
    return result
