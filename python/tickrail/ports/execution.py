"""Where orders go: the side of the strategy, that of the venue, and the terms of a simulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from tickrail._native import InstrumentId
from tickrail.domain.orders import Acknowledgement, OrderReport, OrderRequest, Statement
from tickrail.domain.venue_terms import VenueTerms

__all__ = ["AsyncExecutionPort", "Execution", "ExecutionPort", "OnReport", "StatementPort", "TermedVenue", "Venue"]

OnReport: TypeAlias = Callable[[OrderReport], object]
"""What is called with each report, in the order in which the venue sent them."""


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
        """Order what brings the position to ``quantity``, market orders on their way counted; ``None``: nothing."""
        ...

    def cancel(self, order: int) -> None:
        """Take back an order."""
        ...

    def close(self, instrument: InstrumentId | str | None = None) -> None:
        """Bring the position in ``instrument``, by default in all, to zero."""
        ...


@runtime_checkable
class ExecutionPort(Protocol):
    """A venue that takes orders, with calls that return when the request was handed over.

    Order: requests reach the venue in the order of the calls. Reports of one order come in the order in which the
    venue made them; the acknowledgement of a request comes before any report of it. After a final report no more
    come.

    Names: ``client_id`` names an order for good. A ``submit`` under a name that is known makes no second order, and
    returns what the first has become; so a request whose outcome is unknown may be sent again.

    Errors: ``OrderRejected`` (the venue said no; final), ``Throttled`` (not sent; try again after
    ``retry_after_ns``), ``ConnectivityError`` (not known whether it arrived: ask ``status``), ``Unsupported`` (the
    adapter lacks the capability; not sent). Nothing else is raised.

    Time: ``ts_ns`` of a report is the venue's; the adapter does not invent times.

    Threads: calls come from one thread at a time, not always the same. Listeners may be called on any thread, one
    call at a time, and never from within ``submit``, ``amend`` or ``cancel``.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do, of ``tickrail.domain.orders.CAPABILITIES``; the same for the adapter's whole life."""
        ...

    def submit(self, order: OrderRequest) -> Acknowledgement:
        """Send an order. Raises ``OrderRejected``, ``Throttled``, ``ConnectivityError``, ``Unsupported``."""
        ...

    def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """Change an order that is not done; what is ``None`` stays. Same errors as ``submit``.

        ``stop`` is the price that wakes an order that waits for it; one that is awake is refused it.
        """
        ...

    def cancel(self, client_id: str) -> Acknowledgement:
        """Take an order back; one that is done stays as it is. Same errors as ``submit``."""
        ...

    def status(self, client_id: str) -> OrderReport:
        """Where an order stands by the venue's books. Raises ``OrderRejected`` where the venue has no such order."""
        ...

    def subscribe(self, listener: OnReport) -> None:
        """Call ``listener`` with each report from now on."""
        ...

    def close(self) -> None:
        """Let go of the venue; orders stay where they are. Idempotent."""
        ...


@runtime_checkable
class AsyncExecutionPort(Protocol):
    """The same for an adapter whose calls are coroutines; they run on the runtime's I/O thread.

    All four or none: an adapter that mixes is refused. Listeners are called on the I/O thread.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """See ``ExecutionPort``."""
        ...

    async def submit(self, order: OrderRequest) -> Acknowledgement:
        """See ``ExecutionPort``."""
        ...

    async def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """See ``ExecutionPort``."""
        ...

    async def cancel(self, client_id: str) -> Acknowledgement:
        """See ``ExecutionPort``."""
        ...

    async def status(self, client_id: str) -> OrderReport:
        """See ``ExecutionPort``."""
        ...

    def subscribe(self, listener: OnReport) -> None:
        """See ``ExecutionPort``."""
        ...

    def close(self) -> None:
        """See ``ExecutionPort``."""
        ...


@runtime_checkable
class StatementPort(Protocol):
    """An execution adapter that can say what its account holds: a run begins with that, and not as if with nothing.

    ``statement`` may be a plain function, where the adapter's other calls are.
    """

    @property
    def unknown_orders(self) -> str:
        """What becomes of open orders that a run has not made: ``report``, or ``cancel`` before its first order."""
        ...

    async def statement(self) -> Statement:
        """What is held and open now. Raises ``ConnectivityError``, ``Throttled``."""
        ...


@runtime_checkable
class Venue(Protocol):
    """The terms of a simulated venue: the native loop matches, the adapter says on which terms.

    Threads: called from the thread that bootstraps.
    """

    def fee_rate(self, instrument: InstrumentId) -> float:
        """Fee as a fraction of the notional, at least 0."""
        ...


@runtime_checkable
class TermedVenue(Venue, Protocol):
    """A simulated venue that says more than its fee: how it fills, how long messages take, when it trades."""

    @property
    def terms(self) -> VenueTerms:
        """All of its terms; the same for the adapter's whole life."""
        ...
