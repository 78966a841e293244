"""What is held, at one moment, and how two such moments differ."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

__all__ = ["Difference", "Holding", "Holdings"]

TOLERANCE = 1e-9
"""Fraction of the larger of two numbers below which their difference is rounding."""


class Holding(msgspec.Struct, frozen=True):
    """Units of one instrument.

    Attributes:
        quantity: Units, below zero when short.
        average_price: What they cost on average; 0.0 when flat.
    """

    quantity: float
    average_price: float = 0.0


class Difference(msgspec.Struct, frozen=True):
    """One figure that two holdings do not have in common.

    Attributes:
        what: ``position`` or ``cash``.
        key: The instrument or the currency.
        before: The figure of the first.
        after: The figure of the second.
    """

    what: str
    key: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """How much the second has more."""
        return self.after - self.before


class Holdings(msgspec.Struct, frozen=True):
    """Positions by instrument and cash by currency, as of ``ts_ns``; never changes.

    >>> before, after = Holdings(1, {"A.X": Holding(1.0)}), Holdings(2, {"A.X": Holding(3.0)})
    >>> [difference.change for difference in before.diff(after)]
    [2.0]
    """

    ts_ns: int
    positions: Mapping[str, Holding] = msgspec.field(default_factory=dict)
    cash: Mapping[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "positions", MappingProxyType(dict(self.positions)))
        msgspec.structs.force_setattr(self, "cash", MappingProxyType(dict(self.cash)))

    def diff(self, later: Holdings) -> tuple[Difference, ...]:
        """What differs in ``later``, positions first, each by name; what is not named is zero."""
        flat = Holding(0.0)
        quantities = [
            {name: one.quantity for name, one in each.positions.items()}
            | dict.fromkeys(other.positions.keys() - each.positions, flat.quantity)
            for each, other in ((self, later), (later, self))
        ]
        return (*_differences("position", *quantities), *_differences("cash", self.cash, later.cash))


def _differences(what: str, before: Mapping[str, float], after: Mapping[str, float]) -> list[Difference]:
    found = []
    for key in sorted({*before, *after}):
        one, other = before.get(key, 0.0), after.get(key, 0.0)
        if abs(one - other) > TOLERANCE * max(abs(one), abs(other)):
            found.append(Difference(what, key, one, other))
    return found
