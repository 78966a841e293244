"""The test kit: fakes of every port, ticks by the handful, booted configurations, and suites that every adapter passes.

    from tickrail.testing import quotes

    result = tickrail.backtest(EmaCross(fast=5), quotes(1_000))

With pytest, the fixtures ``boot`` and ``fakes`` are there by themselves. Nothing of tickrail imports this package;
a configuration may name its fakes as adapters. Names are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from tickrail.testing.boot import boot, write_config
    from tickrail.testing.clock import FakeClock
    from tickrail.testing.execution import FakeAsyncExecution, FakeExecution, FakeVenue
    from tickrail.testing.fakes import Call, Fake, Faults
    from tickrail.testing.loopback_venue import LoopbackVenue
    from tickrail.testing.market_data import FakeLiveFeed, FakeMarketData
    from tickrail.testing.portfolio import FakePortfolio
    from tickrail.testing.state import FakeStateStore
    from tickrail.testing.stream_server import StreamServer, messages_of, recorded_messages
    from tickrail.testing.telemetry import FakeTelemetry
    from tickrail.testing.ticks import bars, mixed, quotes, trades

__all__ = [
    "Call",
    "Fake",
    "FakeAsyncExecution",
    "FakeClock",
    "FakeExecution",
    "FakeLiveFeed",
    "FakeMarketData",
    "FakePortfolio",
    "FakeStateStore",
    "FakeTelemetry",
    "FakeVenue",
    "Faults",
    "LoopbackVenue",
    "StreamServer",
    "bars",
    "boot",
    "messages_of",
    "mixed",
    "quotes",
    "recorded_messages",
    "trades",
    "write_config",
]

_WHERE = {
    **dict.fromkeys(("boot", "write_config"), "boot"),
    **dict.fromkeys(("FakeAsyncExecution", "FakeExecution", "FakeVenue"), "execution"),
    **dict.fromkeys(("Call", "Fake", "Faults"), "fakes"),
    **dict.fromkeys(("bars", "mixed", "quotes", "trades"), "ticks"),
    **dict.fromkeys(("StreamServer", "messages_of", "recorded_messages"), "stream_server"),
    **dict.fromkeys(("FakeLiveFeed", "FakeMarketData"), "market_data"),
    "FakeClock": "clock",
    "LoopbackVenue": "loopback_venue",
    "FakePortfolio": "portfolio",
    "FakeStateStore": "state",
    "FakeTelemetry": "telemetry",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'tickrail.testing' has no attribute '{name}'", name=name)
    value = getattr(importlib.import_module(f"tickrail.testing.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
