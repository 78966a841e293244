"""Orders as they pass between the runtime and an execution adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from tickrail._native import InstrumentId

__all__ = [
    "CAPABILITIES",
    "Acknowledgement",
    "HeldPosition",
    "OrderReport",
    "OrderRequest",
    "OrderState",
    "Side",
    "Statement",
    "client_order_id",
]

Side: TypeAlias = Literal["BUY", "SELL"]
OrderState: TypeAlias = Literal["PENDING", "ACCEPTED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"]

CAPABILITIES: Final = frozenset(
    {"market", "limit", "stop", "amend", "cancel", "status", "reduce_only", "post_only", "good_till_time"}
)
"""What an execution adapter may be able to do; a strategy declares what it ``requires``."""


def client_order_id(run_id: str, strategy: int, number: int) -> str:
    """The name of an order at venues: of the run, the strategy's place and the order's number.

    The same order has the same name however often it is sent, also by another process that runs it again.

    >>> client_order_id("a1b2", 0, 17)
    'a1b2-0-17'
    """
    return f"{run_id}-{strategy}-{number}"


class OrderRequest(msgspec.Struct, frozen=True):
    """An order on its way to a venue.

    Attributes:
        client_id: The runtime's own name of it, unique in the account; a request that is sent twice under one name is
            one order.
        instrument: What.
        side: Which way.
        quantity: How much, above zero.
        limit: Worst price, or ``None`` for a market order.
        reduce_only: Whether it may only bring a position nearer to zero.
        stop: Price that wakes it, or ``None``.
        time_in_force: ``GTC``, ``IOC``, ``FOK``, ``DAY`` or ``GTD``.
        expires_ns: When it expires, int ns UTC; of ``GTD``.
        post_only: Whether it is refused where it would match at once.
    """

    client_id: str
    instrument: InstrumentId
    side: Side
    quantity: float
    limit: float | None = None
    reduce_only: bool = False
    stop: float | None = None
    time_in_force: str = "GTC"
    expires_ns: int | None = None
    post_only: bool = False


class Acknowledgement(msgspec.Struct, frozen=True):
    """The venue's first answer.

    Attributes:
        client_id: Of which order.
        state: ``ACCEPTED``: the venue has it. ``PENDING``: the request is on its way, and the answer comes as a report.
        venue_id: The venue's own name, once it has given one.
    """

    client_id: str
    state: Literal["PENDING", "ACCEPTED"]
    venue_id: str | None = None


class OrderReport(msgspec.Struct, frozen=True):
    """Where an order stands.

    Attributes:
        client_id: Of which order.
        state: Its state; after ``FILLED``, ``CANCELED``, ``REJECTED`` and ``EXPIRED`` nothing more comes.
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
    venue_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self.state in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")


class HeldPosition(msgspec.Struct, frozen=True):
    """What an account holds of one instrument.

    Attributes:
        net: Units; below zero when short.
        average_price: What they were bought or sold at.
    """

    net: float
    average_price: float


class Statement(msgspec.Struct, frozen=True):
    """An account as its venue sees it.

    Attributes:
        positions: By the instrument's id.
        open_orders: All that are not done, whoever made them.
    """

    positions: Mapping[str, HeldPosition]
    open_orders: Sequence[OrderReport]
