"""What a compiled handler asks for: the methods of ``out``."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

__all__ = ["Out", "Wish"]


class Wish(IntEnum):
    """Kinds of the records of ``out``; part of the C interface, never renumbered."""

    BUY = 1
    SELL = 2
    TARGET = 3
    CANCEL = 4
    TIMER_AT = 5
    TIMER_EVERY = 6
    CANCEL_TIMER = 7
    SUBSCRIBE = 8
    UNSUBSCRIBE = 9
    STOP = 10
    BUY_ON = 11
    SELL_ON = 12
    AMEND = 13


class Out(Protocol):
    """The third argument of compiled handlers; what it is asked takes effect at the end of the step, in order.

    ``instrument`` is a number, as ``tick.instrument`` is. At most 1,024 things a call. What is refused (a
    quantity or a price that is no number, an instrument that does not exist) makes the strategy FAILED.
    """

    def buy(  # noqa: PLR0917  (numba passes arguments by place)
        self,
        instrument: int,
        quantity: float,
        limit: float | None = None,
        stop: float | None = None,
        time_in_force: int = 0,
        expires_ns: int | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> None:
        """Buy on the terms of ``Strategy.buy``; ``time_in_force`` is one of ``TimeInForceCode``."""

    def sell(  # noqa: PLR0917
        self,
        instrument: int,
        quantity: float,
        limit: float | None = None,
        stop: float | None = None,
        time_in_force: int = 0,
        expires_ns: int | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> None:
        """Sell on the terms of ``Strategy.sell``; ``time_in_force`` is one of ``TimeInForceCode``."""

    def amend(
        self, order: int, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> None:
        """Let an order stand on other terms; what is not given stays."""

    def target(self, instrument: int, quantity: float) -> None:
        """Order whatever brings the position, market orders on their way counted, to ``quantity``."""

    def cancel(self, order: int) -> None:
        """Take back an order by its number, as updates tell it."""

    def schedule_at(self, ts_ns: int, tag: int) -> None:
        """Call ``on_timer`` once, with ``timer.tag == tag``."""

    def schedule_every(self, interval_ns: int, tag: int) -> None:
        """Call ``on_timer`` every ``interval_ns`` from one interval on, with ``timer.tag == tag``."""

    def cancel_timer(self, tag: int) -> None:
        """Forget all timers called ``tag``."""

    def subscribe(self, instrument: int) -> None:
        """Receive the ticks of an instrument."""

    def unsubscribe(self, instrument: int) -> None:
        """Be spared the ticks of an instrument."""

    def stop(self) -> None:
        """Want no more ticks: the strategy is STOPPED at the end of the step, its orders stand."""
