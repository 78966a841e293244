"""Adapters, found by name: those that come with tickrail, and those that an installed package announces.

A package announces one by an entry point of the group ``tickrail.feeds`` or ``tickrail.venues``; nothing is imported
before a configuration names it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final, Literal, TypeAlias

from tickrail.domain.near import did_you_mean
from tickrail.errors import WiringError
from tickrail.ports.execution import Venue
from tickrail.ports.market_data import LiveMarketData, MarketData

__all__ = ["Kind", "adapter_names", "make_adapter"]

Kind: TypeAlias = Literal["feed", "venue"]

OURS: Final[dict[Kind, dict[str, str]]] = {
    "feed": {
        "published": "tickrail.adapters.live.published:PublishedFeed",
        "ticks": "tickrail.adapters.backtest.ticks:TickFileFeed",
    },
    "venue": {"simulated": "tickrail.adapters.backtest.simulated:SimulatedVenue"},
}
PORTS: Final[dict[Kind, Any]] = {"feed": MarketData, "venue": Venue}


def adapter_names(kind: Kind) -> tuple[str, ...]:
    """Names of the adapters of this installation, sorted."""
    return tuple(sorted({*OURS[kind], *(found.name for found in entry_points(group=f"tickrail.{kind}s"))}))


def make_adapter(kind: Kind, adapter: str, *, name: str, settings: Mapping[str, Any]) -> Any:
    """Construct the adapter of a table and check that it is what its port asks for.

    Args:
        kind: ``feed`` or ``venue``.
        adapter: Its name.
        name: Id of the table, passed as ``name``.
        settings: Passed as keywords.

    Raises:
        WiringError: There is none of that name, it takes no such keyword, or it lacks methods of its port.
    """
    factory = _find(kind, adapter)
    _check_settings(factory, adapter, {"name": name, **settings})
    made = factory(name=name, **settings)
    # A feed that is started publishes by itself; one that is opened has all there is.
    port = LiveMarketData if kind == "feed" and hasattr(made, "start") else PORTS[kind]
    missing = [member for member in _members(port) if not callable(getattr(made, member, None))]
    if missing:
        raise WiringError(f"adapter '{adapter}' is no {port.__name__}: it lacks {', '.join(missing)}")
    return made


def _find(kind: Kind, adapter: str) -> Any:
    if adapter in OURS[kind]:
        module, _, attribute = OURS[kind][adapter].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for found in entry_points(group=f"tickrail.{kind}s", name=adapter):
        try:
            return found.load()
        except Exception as error:
            raise WiringError(f"adapter '{adapter}' ({found.value}) cannot be imported: {error}") from error
    known = adapter_names(kind)
    raise WiringError(f"no adapter '{adapter}' in this installation{did_you_mean(adapter, known)}; there are {known}")


def _check_settings(factory: Any, adapter: str, settings: Mapping[str, Any]) -> None:
    signature = inspect.signature(factory)
    takes = list(signature.parameters)
    for name in settings:
        if name not in takes and not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            listed = ", ".join(known for known in takes if known != "name")
            raise WiringError(f"adapter '{adapter}' takes no '{name}'{did_you_mean(name, takes)}; it takes {listed}")
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise WiringError(f"adapter '{adapter}': {error}") from None


def _members(port: Any) -> list[str]:
    return [name for name, value in vars(port).items() if not name.startswith("_") and callable(value)]
