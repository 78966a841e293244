"""Where orders go: the side of the strategy, and that of the venue."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tickrail._native import InstrumentId

__all__ = ["Execution", "Venue"]


@runtime_checkable
class Execution(Protocol):
    """Orders, as a strategy makes them; every ``Strategy`` is one.

    Threads: dispatch thread only; elsewhere the calls raise ``WrongThread``. An order takes effect when the step ends.
    """

    def buy(self, instrument: InstrumentId | str, quantity: float) -> int:
        """Buy at the market; returns the order's number within the strategy."""
        ...

    def sell(self, instrument: InstrumentId | str, quantity: float) -> int:
        """Sell at the market; returns the order's number within the strategy."""
        ...

    def target(self, instrument: InstrumentId | str, quantity: float) -> int | None:
        """Order what brings the position to ``quantity``, orders in flight counted; ``None``: nothing to do."""
        ...

    def cancel(self, order: int) -> None:
        """Take back an order."""
        ...

    def close(self, instrument: InstrumentId | str | None = None) -> None:
        """Bring the position in ``instrument``, by default in all, to zero."""
        ...


@runtime_checkable
class Venue(Protocol):
    """A venue's terms. In a backtest the native loop matches; the adapter says on which terms.

    Threads: called from the thread that bootstraps.
    """

    def fee_rate(self, instrument: InstrumentId) -> float:
        """Fee as a fraction of the notional, at least 0."""
        ...
