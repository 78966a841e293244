"""The moving-average cross on real quotes, against a computation of its own that shares no line with the loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

import tickrail
from tickrail import Strategy, Tick, VenueTerms

FX = Path(__file__).resolve().parents[3] / "shared" / "data" / "fx"
FEE = 0.00002
Floats: TypeAlias = npt.NDArray[Any]

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not FX.is_dir(), reason="the real quotes are not here"),
]


class EmaCross(Strategy):
    fast: int = 20
    slow: int = 100

    def on_start(self) -> None:
        self.a, self.b = 2 / (self.fast + 1), 2 / (self.slow + 1)
        self.x = self.y = 0.0

    def on_quote(self, tick: Tick) -> None:
        mid = tick.mid
        self.x = self.x + self.a * (mid - self.x) if self.x else mid
        self.y = self.y + self.b * (mid - self.y) if self.y else mid
        self.target(tick.instrument, 1.0 if self.x > self.y else 0.0)


def averages(mids: Floats, span: int) -> Floats:
    """The exponential average after each price, begun at the first."""
    weight, value, out = 2 / (span + 1), float(mids[0]), np.empty(len(mids))
    for place, mid in enumerate(mids.tolist()):
        value += weight * (mid - value)
        out[place] = value
    return out


def by_numpy(ts: Floats, bid: Floats, ask: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Times, signed quantities and prices of all fills, and profit less fees with the last mid."""
    mids = (bid + ask) * 0.5
    wanted = (averages(mids, 20) > averages(mids, 100)).astype(float)
    changes = np.diff(wanted, prepend=0.0)
    decided = np.flatnonzero(changes)
    decided = decided[decided + 1 < len(ts)]  # what is decided at the last quote never fills
    signed, at = changes[decided], decided + 1
    prices = np.where(signed > 0, ask[at], bid[at])
    cash = -(signed * prices).sum() - (np.abs(signed) * prices * FEE).sum()
    return ts[at], signed, prices, float(cash + signed.sum() * mids[-1])


def test_orders_and_profit_on_real_quotes_are_those_of_numpy(tmp_path: Path) -> None:
    file = tmp_path / "eurusd.ticks"
    command = [sys.executable, "-m", "tickrail", "data", "import", str(FX / "oanda" / "eurusd"), "-o", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    ticks = tickrail.read_ticks(file)
    result = tickrail.backtest(EmaCross(), ticks, venue=VenueTerms(fee_rate=FEE))
    records = ticks.numpy()
    ts, signed, prices, profit = by_numpy(records["ts_event"], records["value_0"], records["value_1"])
    fills = result.fills
    assert len(fills) > 1_000
    assert np.array_equal(fills["ts_ns"], ts)
    assert np.array_equal(np.where(fills["side"] == 1, 1.0, -1.0) * fills["quantity"], signed)
    assert np.array_equal(fills["price"], prices)
    assert result.pnl == {"USD": pytest.approx(profit, abs=1e-9)}
