"""What a run came to, in figures with named formulas; each is one function that says its formula."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "DAY_NS",
    "Statistics",
    "calmar_ratio",
    "compound_growth",
    "daily_returns",
    "deepest_fall",
    "max_drawdown",
    "profit_factor",
    "sharpe_ratio",
    "sortino_ratio",
    "statistics_of",
]

Floats: TypeAlias = npt.NDArray[np.float64]
DAY_NS: Final = 86_400_000_000_000
NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Figures of a run, or of one strategy of it. What has no meaning is NaN: a ratio without capital, or of one day.

    Attributes:
        days: UTC days of the equity curve, the first and the last among them.
        profit: Last equity less the first; 0.0 where nothing was traded.
        total_return: ``last / first - 1``.
        annual_return: ``(last / first) ** (days_per_year / days) - 1``.
        volatility: ``std(r) * sqrt(days_per_year)`` of the daily returns ``r``; ``std`` with n - 1.
        sharpe: ``mean(r) / std(r) * sqrt(days_per_year)``; nothing is taken off for a riskless rate.
        sortino: ``mean(r) * days_per_year / (sqrt(mean(min(r, 0) ** 2)) * sqrt(days_per_year))``.
        max_drawdown: Deepest ``equity / peak - 1`` of the whole curve, at most 0.
        max_drawdown_amount: Deepest ``peak - equity`` of the whole curve, at least 0.
        calmar: ``annual_return / abs(d)``, with the deepest fall ``d`` of the daily curve.
        trades: Positions that were opened and closed.
        hit_rate: Share of them that made a profit after fees.
        profit_factor: Sum of their profits over that of their losses, each at the rate of its close.
        average_trade: Mean profit of them, after fees, likewise.
        orders: Orders made.
        fills: Fills.
        turnover: Value of all fills, each at its rate, over the mean equity of the curve.
        fees: Fees paid, likewise.
        fee_rate: Fees over the value of all fills.
    """

    days: int
    profit: float
    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    max_drawdown_amount: float
    calmar: float
    trades: int
    hit_rate: float
    profit_factor: float
    average_trade: float
    orders: int
    fills: int
    turnover: float
    fees: float
    fee_rate: float

    def to_dict(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def daily_returns(ts_ns: npt.NDArray[np.int64], equity: Floats) -> Floats:
    """Returns from one UTC day's last equity to the next one's; the first day's is against the first equity.

    A day without a look has the equity of the one before it: nothing was held, or nothing moved.
    """
    if not len(ts_ns):
        return np.empty(0)
    days = ts_ns // DAY_NS
    # A look at midnight belongs to the day that ends there.
    days = days - (ts_ns % DAY_NS == 0)
    every = np.arange(days[0], days[-1] + 1)
    ends = equity[np.searchsorted(days, every, side="right") - 1]
    values = np.concatenate([equity[:1], ends])
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = values[1:] / values[:-1] - 1.0
    return found


def sharpe_ratio(returns: Floats, days_per_year: float = 252.0) -> float:
    """``mean(r) / std(r) * sqrt(days_per_year)``, ``std`` with n - 1; NaN for fewer than two, or where none differs."""
    spread = _std(returns)
    return float(returns.mean() / spread * math.sqrt(days_per_year)) if spread > 0.0 else NAN


def sortino_ratio(returns: Floats, days_per_year: float = 252.0) -> float:
    """``mean(r) * n / (sqrt(mean(min(r, 0)^2)) * sqrt(n))`` with ``n = days_per_year``; NaN without a fall."""
    if len(returns) < 2:
        return NAN
    downside = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean())) * math.sqrt(days_per_year)
    return float(returns.mean() * days_per_year / downside) if downside > 0.0 else NAN


def compound_growth(returns: Floats, days_per_year: float = 252.0) -> float:
    """``prod(1 + r) ** (days_per_year / n) - 1``; NaN without a day, or where more than all was lost."""
    if not len(returns):
        return NAN
    growth = float(np.prod(1.0 + returns))
    return growth ** (days_per_year / len(returns)) - 1.0 if growth > 0.0 else NAN


def deepest_fall(returns: Floats) -> float:
    """The deepest fall of the curve that the returns make from its peak, at most 0; the beginning is a peak."""
    if not len(returns):
        return NAN
    curve = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return float((curve / np.maximum.accumulate(curve)).min() - 1.0)


def calmar_ratio(returns: Floats, days_per_year: float = 252.0) -> float:
    """``compound_growth / abs(deepest_fall)``; NaN without a fall."""
    fall = deepest_fall(returns)
    return compound_growth(returns, days_per_year) / abs(fall) if fall < 0.0 else NAN


def max_drawdown(equity: Floats) -> tuple[float, float]:
    """The deepest fall from a peak: as a fraction of it (at most 0; NaN where the first is not above 0), and amount."""
    if not len(equity):
        return NAN, 0.0
    peaks = np.maximum.accumulate(equity)
    amount = float((peaks - equity).max())
    return (float((equity / peaks).min() - 1.0) if peaks[0] > 0.0 else NAN), amount


def profit_factor(profits: Floats) -> float:
    """Sum of what was won over the sum of what was lost; infinite without a loss, NaN with neither or one not known."""
    if np.isnan(profits).any():
        return NAN
    won, lost = float(profits[profits > 0.0].sum()), float(-profits[profits < 0.0].sum())
    if lost == 0.0:
        return math.inf if won else NAN
    return won / lost


def statistics_of(
    curve: npt.NDArray[np.void],
    trades: npt.NDArray[np.void],
    *,
    orders: int,
    fills: int,
    value: float,
    fees: float,
    begin: float = NAN,
    days_per_year: float = 252.0,
) -> Statistics:
    """The statistics of an equity curve (``ts_ns``, ``equity``) and of the trades behind it.

    Args:
        curve: In the order of time.
        trades: As of ``trades_of``; those that are open do not count. Profits are added at their ``rate``.
        orders: Number of orders.
        fills: Number of fills.
        value: Value of all fills, in the currency of the curve; NaN where that is not known.
        fees: Fees of them, likewise.
        begin: What there was all the time, where the curve is empty as nothing was traded.
        days_per_year: Days of a year on which it trades: 252 at exchanges, 365 around the clock.
    """
    equity = np.asarray(curve["equity"] if len(curve) else [begin], np.float64)
    first, last = float(equity[0]), float(equity[-1])
    returns = daily_returns(curve["ts_ns"], equity) if first > 0.0 and len(curve) else np.empty(0)
    fraction, amount = max_drawdown(equity)
    done = trades[trades["is_closed"]]
    closed = done["profit"] * done["rate"]
    return Statistics(
        days=len(returns),
        profit=last - first,
        total_return=last / first - 1.0 if first > 0.0 else NAN,
        annual_return=compound_growth(returns, days_per_year),
        volatility=_std(returns) * math.sqrt(days_per_year),
        sharpe=sharpe_ratio(returns, days_per_year),
        sortino=sortino_ratio(returns, days_per_year),
        max_drawdown=fraction,
        max_drawdown_amount=amount,
        calmar=calmar_ratio(returns, days_per_year),
        trades=len(closed),
        hit_rate=float((done["profit"] > 0.0).mean()) if len(closed) else NAN,
        profit_factor=profit_factor(closed),
        average_trade=float(closed.mean()) if len(closed) else NAN,
        orders=orders,
        fills=fills,
        turnover=value / float(equity.mean()) if first > 0.0 else NAN,
        fees=fees,
        fee_rate=fees / value if value else NAN,
    )


def _std(returns: Floats) -> float:
    return float(returns.std(ddof=1)) if len(returns) > 1 else NAN
