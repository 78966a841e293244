"""``AwayOrder``: an order at a venue outside of the process, or on its way there, as the I/O thread knows it."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, get_args

from tickrail.domain.orders import OrderReport, OrderRequest, OrderState

__all__ = ["AwayOrder", "impossible"]

STATES: Final = frozenset(get_args(OrderState))


@dataclass(slots=True, eq=False)
class AwayOrder:
    """One order; I/O thread only.

    Attributes:
        strategy: Whose it is, by number.
        number: Of the order within the strategy.
        venue: Where it goes.
        request: As it left.
        stop: The stop that it has at the venue; NaN where that is not known.
        is_canceling: Whether somebody is taking it back.
        is_there: Whether the venue has it, or had it.
        is_held_back: Whether it waits to be sent and the venue is known to have heard nothing of it.
        is_uncertain: Whether an attempt was made whose outcome is not known.
        is_done: Whether nothing more is told of it.
        attempts: How often it was handed to its adapter.
        changes: How often it was to be changed.
        may_have_changed: Whether a change has no known outcome, since the last one that was done.
        doubtful: The most that was said to be filled by reports that cannot be.
        is_in_doubt: Whether the venue is being asked, as it has said what cannot be.
    """

    strategy: int
    number: int
    venue: str
    request: OrderRequest
    stop: float | None = None
    is_canceling: bool = False
    is_there: bool = False
    is_held_back: bool = False
    is_uncertain: bool = False
    is_done: bool = False
    attempts: int = 0
    changes: int = 0
    may_have_changed: bool = False
    doubtful: float = 0.0
    is_in_doubt: bool = False
    _pauses: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As venues know it."""
        return self.request.client_id

    def doubt(self, report: OrderReport) -> str:
        """What of a report cannot be, in words; nor may it end the order with less than was said to be filled."""
        wrong = impossible(report)
        if wrong:
            if _is_number(report.filled):
                self.doubtful = max(self.doubtful, report.filled)
        elif report.is_final and report.filled < self.doubtful:
            wrong = f"{report.state} with {report.filled:g} filled, and {self.doubtful:g} was said to be filled before"
        return wrong

    async def pause(self, seconds: float) -> None:
        """Wait; less long where the order ends, or is to be taken back."""
        if self.is_done:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pauses.append(woken)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken, seconds)
        finally:
            self._pauses.remove(woken)

    def wake(self) -> None:
        """End the pauses: something has changed."""
        for woken in self._pauses:
            if not woken.done():
                woken.set_result(None)


def impossible(report: OrderReport) -> str:
    """What of a report cannot be, in words; empty: it can.

    >>> impossible(OrderReport("r-0-1", "FILLED", 1.0))
    'price is nan, and 1.0 is filled'
    """
    if report.state not in STATES:
        return f"state is {report.state!r}; expected one of {', '.join(get_args(OrderState))}"
    if not (_is_number(report.filled) and report.filled >= 0.0):
        return f"filled is {report.filled!r}; expected a number of at least 0"
    if report.state == "FILLED" and report.filled == 0.0:
        return "state is FILLED, and nothing is filled"
    if report.filled > 0.0 and not _is_number(report.price):
        return f"price is {report.price!r}, and {report.filled!r} is filled"
    if report.filled > 0.0 and not _is_number(report.fee):
        return f"fee is {report.fee!r}; expected a number"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
