"""How a live run ends that is to stop: what becomes of orders and positions, and how long each step may take."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["BY_DEFAULT", "END_DEADLINE_S", "END_LIMITS", "EndLimits", "Ending", "Orders", "Positions"]

Orders: TypeAlias = Literal["cancel", "leave"]
Positions: TypeAlias = Literal["keep", "close"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a strategy's orders and positions when a live run stops, before its ``on_stop``.

    Attributes:
        orders: ``cancel``: open ones are taken back, and their ends awaited; ``leave``: they stay where they are.
        positions: ``keep``, or ``close``: brought to zero once no order is on its way, and the fills awaited.
    """

    orders: Orders = "cancel"
    positions: Positions = "keep"


class EndLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the steps of the end may take, wall time; what is not done by then is told as abandoned.

    Attributes:
        drain_ns: For what was published to reach the strategies.
        orders_ns: For the answers to orders.
    """

    drain_ns: int = 2_000_000_000
    orders_ns: int = 10_000_000_000


END_DEADLINE_S: Final = 25.0
"""How long the whole end of a run may take that is to stop; Kubernetes kills after 30."""
BY_DEFAULT: Final = Ending()
END_LIMITS: Final = EndLimits()
