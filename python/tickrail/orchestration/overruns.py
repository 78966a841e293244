"""Calls of handlers that took too long, by the names that a user gave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tickrail.report.stats import Overrun
from tickrail.strategy.strategy import Strategy

__all__ = ["overruns_of"]

TICK_HANDLERS: Final = ("on_tick", "on_quote", "on_trade", "on_bar", "on_gap", "on_stale", "ticks")


def overruns_of(rows: Iterable[Mapping[str, Any]], strategies: Mapping[str, Strategy]) -> tuple[Overrun, ...]:
    """What the native watch has seen; a tick is named by the handlers that may have taken it."""

    def named(strategy: str | None, handler: str) -> str:
        if strategy is None or handler != "on_tick":
            return handler
        cls = type(strategies[strategy])
        return "/".join(name for name in TICK_HANDLERS if hasattr(cls, name)) or handler

    return tuple(Overrun(**{**row, "handler": named(row["strategy"], row["handler"])}) for row in rows)
