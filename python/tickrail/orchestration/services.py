"""Services that every run has, unless the user's own providers say otherwise."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from tickrail.orchestration.provider import Provider
from tickrail.ports.state_store import StateStore
from tickrail.ports.telemetry import Telemetry

__all__ = ["default_services"]

DEFAULTS: Final[tuple[tuple[Any, str], ...]] = (
    (Telemetry, "tickrail.adapters.backtest.memory:MemoryTelemetry"),
    (StateStore, "tickrail.adapters.backtest.memory:MemoryStateStore"),
)


def default_services(given: Sequence[Provider]) -> Provider:
    """Those of the default services that no provider of the user registers."""
    taken = {registration.key for provider in given for registration in provider.registrations}
    services = Provider()
    for port, path in DEFAULTS:
        if port not in taken:
            module, _, name = path.partition(":")
            services.singleton(port, getattr(importlib.import_module(module), name))
    return services
