"""What a strategy, or an account, holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

from tickrail._native import InstrumentId
from tickrail.domain.holdings import Difference, Holding, Holdings

__all__ = ["OnHoldings", "Portfolio", "PortfolioPort"]

OnHoldings: TypeAlias = Callable[[Holdings], object]


@runtime_checkable
class Portfolio(Protocol):
    """Positions; every ``Strategy`` is one, of its own.

    Threads: dispatch thread only; elsewhere the call raises ``WrongThread``.
    """

    def position(self, instrument: InstrumentId | str) -> float:
        """Units held, below zero when short; fills only, without orders in flight."""
        ...


@runtime_checkable
class PortfolioPort(Protocol):
    """Positions and cash: ``self.portfolio`` of a strategy has its own, an adapter those of an account.

    Order: figures follow fills alone, in the order of the fills; orders in flight do not count.

    Errors: ``DataError`` for an instrument that is not there; an adapter raises ``ConnectivityError`` where it cannot
    know.

    Time: ``snapshot().ts_ns`` is the time of the step, or for an adapter the venue's; a snapshot never changes.

    Threads: that of a strategy belongs to the dispatch thread (elsewhere ``WrongThread``), an adapter's to any.
    """

    def position(self, instrument: InstrumentId | str) -> float:
        """Units held, below zero when short."""
        ...

    def positions(self) -> Mapping[str, Holding]:
        """What is not flat, by id."""
        ...

    def cash(self) -> Mapping[str, float]:
        """By currency. For a strategy: what it has taken in by sales less purchases and fees, since the run began."""
        ...

    def snapshot(self) -> Holdings:
        """All of it at one moment."""
        ...

    def diff(self, before: Holdings) -> tuple[Difference, ...]:
        """What has changed since ``before``."""
        ...

    def reconcile(self, other: Holdings) -> tuple[Difference, ...]:
        """What ``other``, a venue's books, says differently: from here to there. Empty: they agree."""
        ...

    def subscribe(self, listener: OnHoldings) -> None:
        """Call ``listener`` with a snapshot after each fill, from now on."""
        ...
