"""A portfolio whose figures a test sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tickrail._native import InstrumentId
from tickrail.domain.holdings import Difference, Holding, Holdings
from tickrail.testing.fakes import Fake

__all__ = ["FakePortfolio"]


class FakePortfolio(Fake):
    """Holds what ``set`` says; whoever subscribed hears of each change."""

    def __init__(self, positions: Mapping[str, float] | None = None, cash: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self._now = Holdings(0, {name: Holding(one) for name, one in (positions or {}).items()}, cash or {})
        self._heard_by: list[Callable[[Holdings], object]] = []

    def set(
        self, positions: Mapping[str, float] | None = None, cash: Mapping[str, float] | None = None, *, ts_ns: int = 0
    ) -> None:
        """Replace some figures; zero takes a position away."""
        quantities = {name: one.quantity for name, one in self._now.positions.items()} | dict(positions or {})
        held = {name: Holding(quantity) for name, quantity in quantities.items() if quantity}
        self._now = Holdings(ts_ns or self._now.ts_ns + 1, held, {**self._now.cash, **(cash or {})})
        for hears in list(self._heard_by):
            hears(self._now)

    def position(self, instrument: InstrumentId | str) -> float:
        """Units held."""
        self._note("position", instrument=str(instrument))
        return self._now.positions.get(str(instrument), Holding(0.0)).quantity

    def positions(self) -> Mapping[str, Holding]:
        """What is not flat."""
        self._note("positions")
        return self._now.positions

    def cash(self) -> Mapping[str, float]:
        """By currency."""
        self._note("cash")
        return MappingProxyType(dict(self._now.cash))

    def snapshot(self) -> Holdings:
        """All of it."""
        self._note("snapshot")
        return self._now

    def diff(self, before: Holdings) -> tuple[Difference, ...]:
        """What has changed since ``before``."""
        self._note("diff", before=before)
        return before.diff(self._now)

    def reconcile(self, other: Holdings) -> tuple[Difference, ...]:
        """What ``other`` says differently."""
        self._note("reconcile", other=other)
        return self._now.diff(other)

    def subscribe(self, listener: Callable[[Holdings], object]) -> None:
        """Call ``listener`` after each ``set``."""
        self._note("subscribe")
        self._heard_by.append(listener)
