"""Parameters that are changed while a run goes on: whose failure the hook's is, and what a restart begins with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import tickrail
from tickrail import State
from tickrail.domain import commands as c
from tickrail.domain.supervision import HandlerLimits
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"
UPDATE = c.UpdateParameters("one", {"level": 7})


class Operator(tickrail.Strategy):
    """Sends commands at its third tick."""

    commands = ()
    submit = None

    def on_start(self) -> None:
        self.seen = 0
        self.answers: list[Any] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.seen == 3:
            self.answers = [self.submit(command) for command in self.commands]


class Hearing(tickrail.Strategy):
    level: int = 1
    step: int = 1

    on_update = None
    started: ClassVar[list[int]] = []

    def on_start(self) -> None:
        self.started.append(self.level)

    def on_tick(self, tick: tickrail.Tick) -> None: ...

    def on_event(self, event: c.Event) -> None:
        if self.on_update is not None:
            self.buy(EURUSD, 1.0)
            self.on_update()


def run(
    *commands: c.Command,
    hook: Callable[[], None] | None = None,
    renew: Callable[[], Hearing] | None = None,
    **limits: Any,
) -> tuple[TickDispatcher, Any]:
    records = np.zeros(10, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 11)
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    dispatcher = TickDispatcher([{"id": EURUSD}], **limits)
    dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
    operator = Operator()
    operator.commands, operator.submit = commands, dispatcher.commands.submit
    dispatcher.register(operator, "operator")
    one = Hearing()
    one.on_update = hook
    Hearing.started.clear()
    dispatcher.register(one, "one", renew=renew)
    dispatcher.run()
    return dispatcher, [receipt.result(0.0) for receipt in operator.answers]


def test_a_hook_that_raises_fails_the_strategy_and_the_operator_has_the_parameters() -> None:
    def hook() -> None:
        raise LookupError("no such level")

    dispatcher, answers = run(UPDATE, hook=hook)
    assert answers == [{"parameters": {"level": 7}}]
    result = dispatcher.result()
    (error,) = result.errors
    assert (error.strategy, error.handler, error.position) == ("one", "on_event", 5)
    assert isinstance(error.exception, LookupError)
    assert not result.ok
    assert dispatcher.lives.standing("one").state is State.FAILED
    assert (len(result.orders), len(result.fills)) == (1, 0), "what it asked for in that call is void"


def test_a_hook_that_takes_long_is_told_of_as_the_strategys_own() -> None:
    limits = HandlerLimits(slow_ns=20_000_000, deadline_ns=50_000_000)
    dispatcher, answers = run(UPDATE, hook=lambda: time.sleep(0.2), handler_limits=limits)
    assert answers == [{"parameters": {"level": 7}}]
    assert dispatcher.result().ok
    overruns = {(one.strategy, one.handler, one.stuck) for one in dispatcher.stats().overruns}
    assert ("one", "on_event", 1) in overruns, overruns


def test_a_restart_begins_with_the_parameters_that_were_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tickrail.strategies")
    again = c.UpdateParameters("one", {"step": 3})
    dispatcher, _ = run(UPDATE, again, c.RestartStrategy("one"), renew=lambda: Hearing(level=2))
    assert dispatcher.result().ok, dispatcher.result().errors
    assert Hearing.started == [1, 7]
    one = dispatcher.strategies["one"]
    assert (one.level, one.step) == (7, 3)
    assert "one starts again with parameters that were changed in this run: level, step" in caplog.text


def test_a_restart_without_changes_begins_as_it_is_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tickrail.strategies")
    run(c.RestartStrategy("one"), renew=lambda: Hearing(level=2))
    assert Hearing.started == [1, 2]
    assert "starts again with" not in caplog.text
