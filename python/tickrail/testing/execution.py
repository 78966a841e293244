"""A venue in memory: takes orders, fills them when it is told to, and answers wrongly when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from tickrail._native import InstrumentId
from tickrail.domain.orders import CAPABILITIES, Acknowledgement, OrderReport, OrderRequest
from tickrail.errors import OrderRejected, Unsupported
from tickrail.testing.fakes import Fake

__all__ = ["FakeAsyncExecution", "FakeExecution", "FakeVenue"]

Fills: TypeAlias = Literal["at_once", "by_hand"]
PRICE: Final = 1.0


class FakeExecution(Fake):
    """Orders fill whole.

    Reports wait until ``deliver`` is called, so that a test decides when they come; ``fill`` and ``reject`` decide
    what. ``faults.on("submit:answer", ConnectivityError("..."))`` loses an acknowledgement: the order was taken; so
    does ``amend:answer``.

    Args:
        name: Id of the table that names it.
        capabilities: What it can do; everything by default.
        fills: ``at_once``, or ``by_hand`` with ``fill``.
        price: Of market orders.
        acknowledges: ``ACCEPTED`` at once, or ``PENDING`` with the acceptance as a report.
    """

    def __init__(
        self,
        *,
        name: str = "FAKE",
        capabilities: frozenset[str] = CAPABILITIES,
        fills: Fills = "at_once",
        price: float = PRICE,
        acknowledges: Literal["ACCEPTED", "PENDING"] = "ACCEPTED",
    ) -> None:
        super().__init__()
        self.name = name
        self.orders: dict[str, OrderRequest] = {}
        self.reports: dict[str, OrderReport] = {}
        self.is_closed = False
        self._capabilities = frozenset(capabilities)
        self._fills, self._price, self._acknowledges = fills, price, acknowledges
        self._waiting: list[OrderReport] = []
        self._heard_by: list[Callable[[OrderReport], object]] = []

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return self._capabilities

    def submit(self, order: OrderRequest) -> Acknowledgement:
        """Take an order; one of a known name is the same order."""
        self._note("submit", order=order)
        self._require("market" if order.limit is None else "limit")
        if order.reduce_only:
            self._require("reduce_only")
        if order.client_id not in self.orders:
            if not order.quantity > 0:
                raise OrderRejected(f"order {order.client_id}: quantity {order.quantity}", reason="quantity")
            self.orders[order.client_id] = order
            self._report(OrderReport(order.client_id, "ACCEPTED", venue_id=self._venue_id(order.client_id)))
            if self._fills == "at_once":
                self.fill(order.client_id)
        with self._lock:
            self.faults.strike("submit:answer")
        return self._acknowledged(order.client_id)

    def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """Change an order that is not done."""
        self._note("amend", client_id=client_id, quantity=quantity, limit=limit, stop=stop)
        self._require("amend")
        order = self._open(client_id)
        self.orders[client_id] = replace(
            order,
            quantity=quantity or order.quantity,
            limit=order.limit if limit is None else limit,
            stop=order.stop if stop is None else stop,
        )
        self._report(self.reports[client_id])
        with self._lock:
            self.faults.strike("amend:answer")
        return self._acknowledged(client_id)

    def cancel(self, client_id: str) -> Acknowledgement:
        """Take an order back; one that is done stays as it is."""
        self._note("cancel", client_id=client_id)
        self._require("cancel")
        if not self._known(client_id).is_final:
            self._report(replace(self.reports[client_id], state="CANCELED", reason="asked for"))
        return self._acknowledged(client_id)

    def status(self, client_id: str) -> OrderReport:
        """Where an order stands."""
        self._note("status", client_id=client_id)
        self._require("status")
        return self._known(client_id)

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        """Call ``listener`` with each report that is delivered."""
        self._note("subscribe")
        self._heard_by.append(listener)

    def close(self) -> None:
        """Orders stay where they are."""
        self._note("close")
        self.is_closed = True

    # ---- for the test ------------------------------------------------------------------------------------------

    def fill(self, client_id: str, price: float | None = None) -> None:
        """Fill an order that is not done."""
        order = self._open(client_id)
        paid = order.limit if order.limit is not None else self._price
        self._report(
            replace(
                self.reports[client_id], state="FILLED", filled=order.quantity, price=paid if price is None else price
            )
        )

    def reject(self, client_id: str, reason: str = "no such luck") -> None:
        """Reject an order that was acknowledged already."""
        self._open(client_id)
        self._report(replace(self.reports[client_id], state="REJECTED", reason=reason))

    def deliver(self, *, times: int = 1) -> int:
        """Hand out the reports that wait, each ``times``, as a venue does after a reconnection; says how many wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for report in (one for one in waiting for _ in range(times)):
            for hears in list(self._heard_by):
                hears(report)
        return len(waiting)

    def _report(self, report: OrderReport) -> None:
        with self._lock:
            report = replace(report, ts_ns=len(self.calls))
            self.reports[report.client_id] = report
            self._waiting.append(report)

    def _require(self, capability: str) -> None:
        if capability not in self._capabilities:
            raise Unsupported(f"venue {self.name} cannot do '{capability}'", capability=capability)

    def _known(self, client_id: str) -> OrderReport:
        if client_id not in self.reports:
            raise OrderRejected(f"venue {self.name} has no order {client_id}", reason="unknown order")
        return self.reports[client_id]

    def _open(self, client_id: str) -> OrderRequest:
        if self._known(client_id).is_final:
            raise OrderRejected(f"order {client_id} is {self.reports[client_id].state}", reason="done")
        return self.orders[client_id]

    def _venue_id(self, client_id: str) -> str:
        return f"{self.name}-{client_id}"

    def _acknowledged(self, client_id: str) -> Acknowledgement:
        return Acknowledgement(client_id, self._acknowledges, self.reports[client_id].venue_id)


class FakeAsyncExecution:
    """The same behind coroutines; ``sync`` is the fake that does the work and keeps the calls."""

    def __init__(self, **settings: object) -> None:
        self.sync = FakeExecution(**settings)  # type: ignore[arg-type]

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return self.sync.capabilities

    async def submit(self, order: OrderRequest) -> Acknowledgement:
        """See ``FakeExecution``."""
        return self.sync.submit(order)

    async def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """See ``FakeExecution``."""
        return self.sync.amend(client_id, quantity=quantity, limit=limit, stop=stop)

    async def cancel(self, client_id: str) -> Acknowledgement:
        """See ``FakeExecution``."""
        return self.sync.cancel(client_id)

    async def status(self, client_id: str) -> OrderReport:
        """See ``FakeExecution``."""
        return self.sync.status(client_id)

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        """See ``FakeExecution``."""
        self.sync.subscribe(listener)

    def close(self) -> None:
        """See ``FakeExecution``."""
        self.sync.close()


class FakeVenue(FakeExecution):
    """A venue for configurations until there are real ones: the native loop matches, on its terms.

    Args:
        name: Id of the venue.
        fee_rate: Fee as a fraction of the notional.
    """

    def __init__(self, *, name: str, fee_rate: float = 0.0) -> None:
        super().__init__(name=name)
        self._fee_rate = fee_rate

    def fee_rate(self, instrument: InstrumentId) -> float:
        """The same for each instrument."""
        self._note("fee_rate", instrument=str(instrument))
        return self._fee_rate
