"""The pytest plugin: fixtures ``boot`` and ``fakes``. Installed with tickrail; loads nothing until asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tickrail.orchestration.runtime import Runtime
    from tickrail.testing.clock import FakeClock
    from tickrail.testing.execution import FakeExecution
    from tickrail.testing.market_data import FakeMarketData
    from tickrail.testing.portfolio import FakePortfolio
    from tickrail.testing.state import FakeStateStore
    from tickrail.testing.telemetry import FakeTelemetry

__all__ = ["Fakes", "boot", "fakes"]

pytest.register_assert_rewrite("tickrail.testing.conformance")


@dataclass(frozen=True)
class Fakes:
    """One fake of every port."""

    clock: FakeClock
    market_data: FakeMarketData
    execution: FakeExecution
    portfolio: FakePortfolio
    telemetry: FakeTelemetry
    state: FakeStateStore


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Boots configurations (text or dict), each closed when the test is over.

    ``runtime = boot({"strategies": {"one": {"class": "my_strategies:EmaCross"}}})``
    """
    from tickrail.testing.boot import boot as booted

    with ExitStack() as stack:
        count = 0

        def make(configuration: Any, *, modules: Sequence[Any] = ()) -> Runtime:
            nonlocal count
            count += 1
            folder = tmp_path / f"boot-{count}"
            return stack.enter_context(booted(configuration, modules=modules, folder=folder))

        yield make


@pytest.fixture
def fakes() -> Fakes:
    """One fake of every port, new for each test."""
    from tickrail import testing

    return Fakes(
        clock=testing.FakeClock(),
        market_data=testing.FakeMarketData(),
        execution=testing.FakeExecution(),
        portfolio=testing.FakePortfolio(),
        telemetry=testing.FakeTelemetry(),
        state=testing.FakeStateStore(),
    )
