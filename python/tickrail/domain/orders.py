"""Orders as they pass between the runtime and an execution adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tickrail._native import InstrumentId

__all__ = ["CAPABILITIES", "Acknowledgement", "OrderReport", "OrderRequest", "OrderState", "Side"]

Side: TypeAlias = Literal["BUY", "SELL"]
OrderState: TypeAlias = Literal["PENDING", "ACCEPTED", "FILLED", "CANCELED", "REJECTED"]

CAPABILITIES: Final = frozenset(
    {"market", "limit", "stop", "amend", "cancel", "status", "reduce_only", "post_only", "good_till_time"}
)
"""What an execution adapter may be able to do; a strategy declares what it ``requires``."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order on its way to a venue.

    Attributes:
        client_id: The runtime's own name of it, unique in the account; a request that is sent twice under one name is
            one order.
        instrument: What.
        side: Which way.
        quantity: How much, above zero.
        limit: Worst price, or ``None`` for a market order.
        reduce_only: Whether it may only bring a position nearer to zero.
    """

    client_id: str
    instrument: InstrumentId
    side: Side
    quantity: float
    limit: float | None = None
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The venue's first answer.

    Attributes:
        client_id: Of which order.
        state: ``ACCEPTED``: the venue has it. ``PENDING``: the request is on its way, and the answer comes as a report.
        venue_id: The venue's own name, once it has given one.
    """

    client_id: str
    state: Literal["PENDING", "ACCEPTED"]
    venue_id: str | None = None


@dataclass(frozen=True, slots=True)
class OrderReport:
    """Where an order stands.

    Attributes:
        client_id: Of which order.
        state: Its state; after ``FILLED``, ``CANCELED`` and ``REJECTED`` nothing more comes.
        filled: Units filled so far.
        price: Average price of these; NaN while there are none.
        fee: Fees of these, in the currency of the price.
        ts_ns: When the venue says it happened, int ns UTC.
        reason: Why it was rejected or canceled.
        venue_id: The venue's own name.
    """

    client_id: str
    state: OrderState
    filled: float = 0.0
    price: float = float("nan")
    fee: float = 0.0
    ts_ns: int = 0
    reason: str = ""
    venue_id: str | None = field(default=None)

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self.state in ("FILLED", "CANCELED", "REJECTED")
