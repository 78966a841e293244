"""Positions and what they earned."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Money", "Position", "by_currency"]


@dataclass(frozen=True, slots=True)
class Position:
    """What a strategy holds of one instrument.

    Attributes:
        instrument: Id of the instrument.
        currency: Currency of the amounts; ``XXX`` where the data does not say.
        net: Units held, below zero when short.
        average_price: Of the units held; NaN or 0.0 when flat.
        realised: Profit of what was closed, before fees.
        unrealised: Profit of what is held, at ``mark``.
        fees: Fees paid.
        fills: Number of fills.
        mark: Last price that the position could be closed at.
    """

    instrument: str
    currency: str
    net: float
    average_price: float
    realised: float
    unrealised: float
    fees: float
    fills: int
    mark: float

    @property
    def pnl(self) -> float:
        """Realised and unrealised profit, less fees."""
        open_profit = 0.0 if math.isnan(self.unrealised) else self.unrealised
        return self.realised + open_profit - self.fees


@dataclass(frozen=True, slots=True)
class Money:
    """Sums of one currency."""

    realised: float = 0.0
    unrealised: float = 0.0
    fees: float = 0.0
    pnl: float = 0.0


def by_currency(positions: Iterable[Position]) -> dict[str, Money]:
    """Sums by currency; amounts of different currencies are never added."""
    sums: dict[str, Money] = {}
    for one in positions:
        held = sums.get(one.currency, Money())
        open_profit = 0.0 if math.isnan(one.unrealised) else one.unrealised
        sums[one.currency] = Money(
            held.realised + one.realised, held.unrealised + open_profit, held.fees + one.fees, held.pnl + one.pnl
        )
    return sums
