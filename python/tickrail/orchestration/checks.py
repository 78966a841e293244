"""What a user asks before the start: functions that may refuse it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from tickrail.config import RuntimeConfig
from tickrail.orchestration.container import Container
from tickrail.strategy.strategy import Strategy

__all__ = ["Check", "PreStart", "findings"]


class PreStart(msgspec.Struct, frozen=True):
    """What a check may look at; nothing of it runs.

    Attributes:
        config: The configuration.
        container: The services; asking for one makes it.
        strategies: In the order of their start, without their services.
        instruments: The facts of each instrument, by id.
    """

    config: RuntimeConfig
    container: Container
    strategies: Mapping[str, Strategy]
    instruments: Mapping[str, Mapping[str, Any]]


Check: TypeAlias = Callable[[PreStart], str | Iterable[str] | None]
"""Says what is wrong, or nothing; raising says it too."""


def findings(check: Check, start: PreStart) -> list[str]:
    """What ``check`` finds wrong, one text each."""
    try:
        said = check(start)
    except Exception as error:
        return [f"raised {type(error).__name__}: {error}"]
    return [] if not said else [said] if isinstance(said, str) else list(said)
