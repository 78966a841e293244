"""``Portfolio``: what a strategy, or all of a run together, hold and are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType

from tickrail._native import PortfolioCore, StrategyCore
from tickrail.domain.holdings import Difference, Holding, Holdings

__all__ = ["KeptPortfolio", "Portfolio"]


class Portfolio(PortfolioCore):
    """``self.portfolio`` of a strategy: a ``PortfolioPort`` over what its own fills made.

    Figures of one instrument are in its currency, sums in that of the run. ``cash()`` is the capital, and what was
    taken in by sales less purchases and fees: with ``positions()`` at their prices it is the equity. So a future counts
    by its whole notional there; ``realised``, ``unrealised`` and ``fees`` say the same as profit.

    Thread safety: dispatch thread only; elsewhere its calls raise ``WrongThread``.
    """

    @cached_property
    def whole(self) -> Portfolio:
        """The portfolio of all strategies of the run together, as a venue would see it."""
        return Portfolio(self, whole=True)

    def positions(self) -> Mapping[str, Holding]:
        """What is not flat, by id, in the order of the run's instruments."""
        return MappingProxyType({name: Holding(units, price) for name, units, price in self.holdings()})

    def cash(self) -> Mapping[str, float]:
        """By currency; what is not named is zero."""
        return MappingProxyType(dict(self.money()))

    def snapshot(self) -> Holdings:
        """Positions and cash at the time of the step."""
        return Holdings(self.now_ns, self.positions(), self.cash())

    def diff(self, before: Holdings) -> tuple[Difference, ...]:
        """What has changed since ``before``."""
        return before.diff(self.snapshot())

    def reconcile(self, other: Holdings) -> tuple[Difference, ...]:
        """What ``other``, such as a venue's statement, says differently: from here to there. Empty: they agree."""
        return self.snapshot().diff(other)

    def subscribe(self, listener: Callable[[Holdings], object]) -> None:
        """Call ``listener`` with a snapshot after each fill of the strategy (of ``whole``: of anybody), from now on.

        After ``on_order_update``, on the dispatch thread; what it raises is the strategy's failure.
        """
        self.listen(lambda: listener(self.snapshot()))


class KeptPortfolio:
    """Makes ``self.portfolio`` when it is first asked for; from then on it is an attribute like any other."""

    def __get__(self, strategy: StrategyCore | None, owner: type) -> Portfolio:
        if strategy is None:
            raise AttributeError("a class has no portfolio; ask an object in a run")
        portfolio = Portfolio(strategy)
        strategy.portfolio = portfolio  # type: ignore[attr-defined]
        return portfolio
