"""Services that every run has, unless the user's own providers say otherwise."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from tickrail.config.models import RuntimeSettings
from tickrail.orchestration.provider import Provider
from tickrail.ports.state_store import StateStorePort
from tickrail.ports.telemetry import TelemetryPort

__all__ = ["default_services"]

DEFAULTS: Final[dict[Any, str]] = {
    TelemetryPort: "tickrail.adapters.backtest.memory:MemoryTelemetry",
    StateStorePort: "tickrail.adapters.backtest.memory:MemoryStateStore",
}


def default_services(given: Sequence[Provider], settings: RuntimeSettings | None = None) -> Provider:
    """Those of the default services that no provider of the user registers, as ``settings`` wish them."""
    taken = {registration.key for provider in given for registration in provider.registrations}
    services = Provider()
    for port, path in {**DEFAULTS, **_wished(settings or RuntimeSettings())}.items():
        if port not in taken:
            module, _, name = path.partition(":")
            made = getattr(importlib.import_module(module), name)
            in_files = port is StateStorePort and settings is not None and settings.state_dir is not None
            services.value(port, made(folder=settings.state_dir) if settings and in_files else made())
    return services


def _wished(settings: RuntimeSettings) -> dict[Any, str]:
    wished: dict[Any, str] = {}
    if settings.log != "none":
        wished[TelemetryPort] = "tickrail.adapters.observability.logs:LogTelemetry"
    if settings.state_dir is not None:
        wished[StateStorePort] = "tickrail.adapters.live.state_files:FileStateStore"
    return wished
