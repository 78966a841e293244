"""Hypothesis strategies: they draw a seed and a shape, and ticks are built from these at once.

Drawing each tick would take milliseconds a tick and shrink for minutes; this way a million ticks are one example.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from tickrail._native import TickArray
from tickrail.testing.ticks import bars, mixed, quotes, trades

__all__ = ["quote_arrays", "tick_arrays"]

INSTRUMENTS: Final = ("EURUSD.SIM", "GBPUSD.SIM", "BTCUSDT.SIM")
STEPS_NS: Final = (0, 1, 1_000, 1_000_000_000)
MOST_TICKS: Final = 10_000
SEEDS: Final = st.integers(0, 2**32 - 1)


@st.composite
def tick_arrays(
    draw: Any, *, min_size: int = 1, max_size: int = MOST_TICKS, instruments: tuple[str, ...] = INSTRUMENTS
) -> TickArray:
    """Arrays of quotes and trades of several instruments, with many equal times."""
    count = draw(st.integers(min_size, max_size))
    some = draw(st.lists(st.sampled_from(instruments), min_size=1, unique=True))
    return mixed(count, instruments=tuple(some), seed=draw(SEEDS), step_ns=draw(st.sampled_from(STEPS_NS)))


@st.composite
def quote_arrays(
    draw: Any, *, min_size: int = 1, max_size: int = MOST_TICKS, instrument: str = INSTRUMENTS[0]
) -> TickArray:
    """Arrays of one kind (quotes, trades or bars) of one instrument."""
    make = draw(st.sampled_from([quotes, trades, bars]))
    array: TickArray = make(
        draw(st.integers(min_size, max_size)),
        instrument=instrument,
        seed=draw(SEEDS),
        volatility=draw(st.sampled_from([0.0, 1e-5, 1e-2])),
    )
    return array
