"""Equity from fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["EQUITY_DTYPE", "equity_by_currency"]

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


def _gains(fills: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """What each fill added. ``realised`` counts up within a strategy and instrument, so that it is a difference."""
    gains = np.empty(len(fills), np.float64)
    pairs = fills["strategy"].astype(np.uint64) << np.uint64(32) | fills["instrument"]
    for pair in np.unique(pairs):
        chosen = pairs == pair
        gains[chosen] = np.diff(fills["realised"][chosen], prepend=0.0)
    result: npt.NDArray[np.float64] = gains - fills["fee"]
    return result
