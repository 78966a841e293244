"""Errors of commands that came to nothing."""

from __future__ import annotations

from tickrail.errors.root import TickrailError

__all__ = [
    "CommandError",
    "CommandExpired",
    "CommandInvalid",
    "CommandRefused",
    "CommandTimeout",
    "DuplicateHandler",
    "LaneFull",
    "NoHandler",
    "NotRunning",
    "ShuttingDown",
    "WouldDeadlock",
]


class CommandError(TickrailError):
    """A command came to nothing.

    Attributes:
        command: The name of its type.
    """

    def __init__(self, message: str, *, command: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.command = command


class DuplicateHandler(CommandError):
    """A command type would have two handlers, or two types one name; ``first`` and ``second`` say where."""

    def __init__(
        self, message: str, *, command: str = "", first: str = "", second: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, command=command, hint=hint)
        self.first = first
        self.second = second


class NoHandler(CommandError):
    """Nobody handles this type of command."""


class CommandInvalid(CommandError, ValueError):
    """A field of the command is wrong."""


class CommandRefused(CommandError):
    """What the command asks for cannot be.

    Attributes:
        reason: In one word: ``unknown_strategy``, ``unknown_instrument``, ``unknown_order``, ``unknown_limits``,
            ``unknown_limit``, ``unknown_request``, ``illegal_transition``, ``overtaken``, ``stopped``, ``halted``,
            ``invalid_parameter``, ``invalid_limit`` or ``invalid_field``.
    """

    def __init__(self, message: str, *, reason: str, command: str = "", hint: str | None = None) -> None:
        super().__init__(message, command=command, hint=hint)
        self.reason = reason


class CommandTimeout(CommandError, TimeoutError):
    """There was no answer in time.

    Attributes:
        timeout_s: How long the sender waited.
        begun: Whether the handler was called by then: it goes on, and the answer to the command's key is its.
    """

    def __init__(
        self, message: str, *, timeout_s: float, command: str = "", begun: bool = False, hint: str | None = None
    ) -> None:
        super().__init__(message, command=command, hint=hint)
        self.timeout_s = timeout_s
        self.begun = begun


class CommandExpired(CommandError):
    """The command's turn came after it had expired."""


class LaneFull(CommandError):
    """The command's lane has no room."""


class WouldDeadlock(CommandError, RuntimeError):
    """The caller would wait for itself."""


class NotRunning(CommandError):
    """No run goes on that could handle the command."""


class ShuttingDown(CommandError):
    """The run takes no more commands."""
