"""``AwayOrder``: an order at a venue outside of the process, or on its way there, as the I/O thread knows it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from tickrail.domain.orders import OrderRequest

__all__ = ["AwayOrder"]


@dataclass(slots=True, eq=False)
class AwayOrder:
    """One order; I/O thread only.

    Attributes:
        strategy: Whose it is, by number.
        number: Of the order within the strategy.
        venue: Where it goes.
        request: As it left.
        is_canceling: Whether somebody is taking it back.
        is_there: Whether the venue has it, or had it.
        is_held_back: Whether it waits to be sent and the venue is known to have heard nothing of it.
        is_uncertain: Whether an attempt was made whose outcome is not known.
        is_done: Whether nothing more is told of it.
        attempts: How often it was handed to its adapter.
        changes: How often it was to be changed.
    """

    strategy: int
    number: int
    venue: str
    request: OrderRequest
    is_canceling: bool = False
    is_there: bool = False
    is_held_back: bool = False
    is_uncertain: bool = False
    is_done: bool = False
    attempts: int = 0
    changes: int = 0
    _pauses: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As venues know it."""
        return self.request.client_id

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
