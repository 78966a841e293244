"""Services into strategies, when a run is put together and when a strategy is made anew."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from typing import Any

from tickrail.errors import BootstrapFailed, ShuttingDown, WiringError
from tickrail.orchestration.container import Container, Scope
from tickrail.orchestration.provider import key_name
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.telemetry import TelemetryPort
from tickrail.strategy.strategy import Strategy, inject, schema

__all__ = ["Injection", "is_bus"]


def is_bus(key: object) -> bool:
    """Whether a strategy that wants ``key`` wants the command bus, which is the run's own, and no container's.

    Who names its class has loaded its module: that is not done here, as most runs need none.
    """
    module = sys.modules.get("tickrail.orchestration.command_bus")
    return module is not None and key is module.CommandBus


class Injection:
    """Fills the service fields of strategies, each from a scope of its own.

    Args:
        container: Has the services.
        dispatcher: The run, which is not held: it holds whoever makes strategies anew.
    """

    def __init__(self, container: Container, dispatcher: TickDispatcher) -> None:
        self._container = container
        self._run = weakref.ref(dispatcher)
        self._scopes: dict[str, Container] = {}

    def into(self, strategy: Strategy, name: str) -> None:
        """Fill those of ``strategy``; telemetry it has anyway."""
        wanted = schema(type(strategy)).services
        if "telemetry" not in wanted:
            # To the checker it is the class's.
            setattr(strategy, "telemetry", self._container.get(TelemetryPort))  # noqa: B010
        if not wanted:
            return
        scope = self._scopes[name] = self._container.enter(Scope.STRATEGY)
        own = {field: self._bus() for field, key in wanted.items() if is_bus(key) and not scope.has(key)}
        others = {field: key for field, key in wanted.items() if field not in own}
        scope.resolve_async(others.values())
        inject(strategy, own | {field: _service(scope, key, f"{name}.{field}") for field, key in others.items()})

    def renewed(self, cls: type[Strategy], name: str, values: Mapping[str, Any]) -> Strategy:
        """Another object for a restart, in a scope of its own; what the old one used is finalised first."""
        if name in self._scopes:
            self._scopes.pop(name).close()
        strategy = cls(**values)
        self.into(strategy, name)
        return strategy

    def _bus(self) -> Any:
        dispatcher = self._run()
        assert dispatcher is not None, "strategies are made while there is a run"
        return dispatcher.commands

    @staticmethod
    def let_go(strategies: Mapping[str, Strategy]) -> None:
        """Take the command bus from strategies whose run is closed: it holds the run, and the run them."""
        for name, strategy in strategies.items():
            for field in [field for field, key in schema(type(strategy)).services.items() if is_bus(key)]:
                strategy.__dict__[field] = _EndedBus(f"{name}.{field}")


class _EndedBus:
    """Stands where the bus was: a thread that outlives the run hears what the bus itself would have said."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ShuttingDown(
            f"{self._place}: the run has ended and takes no more commands",
            hint="a strategy that starts a thread ends it in on_stop",
        )


def _service(scope: Container, key: Any, wanted_by: str) -> Any:
    try:
        return scope.get(key)
    except WiringError:
        raise
    except Exception as error:
        raise BootstrapFailed(
            f"making {key_name(key)} for {wanted_by} raised {type(error).__name__}: {error}"
        ) from error
