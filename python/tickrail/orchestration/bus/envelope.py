"""A command on its way, with what belongs to the sending and not to the command."""

from __future__ import annotations

from typing import Any

from tickrail.domain.context import Trace
from tickrail.orchestration.bus.receipt import Receipt
from tickrail.orchestration.bus.routes import Route

__all__ = ["Envelope"]


class Envelope:
    """One command on its way.

    Attributes:
        route: Who handles it.
        command: The command.
        receipt: Who waits, if anybody does.
        trace: Its number, and where it comes from.
        expires_ns: When it is no longer worth handling, on the monotonic clock; 0: never.
    """

    __slots__ = ("command", "expires_ns", "receipt", "route", "trace")

    def __init__(self, route: Route, command: Any, receipt: Receipt | None, trace: Trace, expires_ns: int) -> None:
        self.route = route
        self.command = command
        self.receipt = receipt
        self.trace = trace
        self.expires_ns = expires_ns
