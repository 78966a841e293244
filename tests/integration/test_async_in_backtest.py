"""Async handlers and coroutines in a backtest: the loop waits for them, and they cannot wait for the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import Strategy
from tickrail.domain.commands import Command
from tickrail.errors import CommandTimeout, SpawnTimedOut, WouldDeadlock
from tickrail.orchestration.bus.receipt import Receipt
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.result import Result

LONG_S = 30.0


class Ask(Command):
    pass


class Trade(Command):
    pass


class Asking(Strategy):
    """Does ``act`` at its fifth tick, and notes at the sixth whether there is an answer."""

    def __init__(self, act: Callable[[Asking], Any]) -> None:
        self.act = act

    def on_start(self) -> None:
        self.count = 0
        self.told: list[Any] = []
        self.receipt: Receipt | None = None

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.count == 5:
            self.receipt = self.act(self)
        if self.count == 6 and isinstance(self.receipt, Receipt):
            self.told.append(self.receipt.done())


def rig(act: Callable[[Asking], Any], ticks: int = 20, **settings: Any) -> tuple[TickDispatcher, Asking, CommandBus]:
    records = np.zeros(ticks, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, ticks + 1)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.1
    dispatcher = TickDispatcher([{"id": "A.SIM"}], **settings)
    dispatcher.feed("f", tickrail.TickArray.from_records(records, ["A.SIM"]))
    strategy = Asking(act)
    dispatcher.register(strategy, "s")
    bus = dispatcher.commands
    bus.register(Trade, lambda _: strategy.buy("A.SIM", 1.0))
    return dispatcher, strategy, bus


def spawning(trade: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[Asking], None]:
    return lambda strategy: strategy.spawn(trade(), lambda result: strategy.told.append(result.error))


def refused_in(dispatcher: TickDispatcher, strategy: Asking, what: str = "") -> None:
    """The run comes to its end, in which what was spawned was refused to wait for the loop."""
    assert dispatcher.run() == "complete"
    (error,) = strategy.told
    assert isinstance(error, WouldDeadlock)
    assert f"{what}, which in a backtest waits for this coroutine" in str(error)
    assert "callback of self.spawn" in str(error.hint)


def test_a_coroutine_that_waits_for_the_loop_is_refused_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """The loop waits for it: both waited for a minute."""

    async def trade() -> None:
        await bus.execute_async(Trade())

    dispatcher, strategy, bus = rig(spawning(trade))
    refused_in(dispatcher, strategy, "Trade is handled by the loop")
    assert dispatcher.result().ok
    assert "Trade is handled by the loop" in caplog.text


def test_what_a_coroutine_only_sends_has_its_turn_once_it_has_ended() -> None:
    async def trade() -> None:
        bus.submit(Trade())

    dispatcher, _, bus = rig(lambda strategy: strategy.spawn(trade(), lambda _: None))
    dispatcher.run()
    assert len(dispatcher.result().orders) == 1


@pytest.mark.parametrize("how", ["execute", "result", "executor", "life"])
def test_a_thread_of_a_coroutine_that_waits_for_the_loop_is_refused_at_once(how: str) -> None:
    """The loop waits for the coroutine, which waits for its thread: both waited for a minute."""
    ways: dict[str, Callable[[], Any]] = {
        "execute": lambda: bus.execute(Trade()),
        "result": lambda: bus.submit(Trade()).result(LONG_S),
        "executor": lambda: bus.execute(Trade()),
        "life": lambda: dispatcher.lives.pause("s").result(LONG_S),
    }

    async def trade() -> None:
        if how == "executor":
            await asyncio.get_running_loop().run_in_executor(None, ways[how])
        else:
            await asyncio.to_thread(ways[how])

    dispatcher, strategy, bus = rig(spawning(trade))
    refused_in(dispatcher, strategy)


def test_a_thread_that_nobody_knows_to_be_waited_for_is_told_of_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickrail.orchestration.spawner.SAY_S", 0.05)

    def wait() -> None:
        with pytest.raises(CommandTimeout):
            bus.execute(Trade(), timeout_s=0.3)

    async def trade() -> None:
        thread = threading.Thread(target=wait)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)

    dispatcher, _, bus = rig(lambda strategy: strategy.spawn(trade(), lambda _: None))
    assert dispatcher.run() == "complete"
    (said,) = (record.getMessage() for record in caplog.records if "both wait in vain" in record.getMessage())
    assert said.startswith("the loop of a backtest waits for the coroutine ")
    assert "and commands wait for the loop (1)" in said


def run_of(handle: Callable[[CommandBus], Coroutine[Any, Any, Any]]) -> tuple[Result, Asking, CommandBus]:
    dispatcher, strategy, bus = rig(lambda strategy: bus.submit(Ask()), ticks=20_000)

    async def ask(_: Ask) -> Any:
        return await handle(bus)

    bus.register(Ask, ask)
    dispatcher.run()
    return dispatcher.result(), strategy, bus


def test_the_loop_waits_for_async_commands_of_a_step_so_runs_are_alike() -> None:
    async def slow(bus: CommandBus) -> str:
        await asyncio.sleep(0.02)
        bus.post(Trade())
        return "asked"

    digests = set()
    for _ in range(3):
        result, strategy, _ = run_of(slow)
        assert strategy.told == [True], "before the next tick"
        assert strategy.receipt is not None
        assert strategy.receipt.result(0) == "asked"
        digests.add((result.digest, *result.orders["made_position"].tolist()))
    assert len(digests) == 1


@pytest.mark.parametrize("how", ["the answer", "room"])
def test_an_async_handler_that_waits_for_the_loop_is_refused_at_once(how: str) -> None:
    async def trade(bus: CommandBus) -> None:
        if how == "room":
            bus.post(Trade(), wait_s=LONG_S)
        await bus.execute_async(Trade())

    result, strategy, _ = run_of(trade)
    assert strategy.receipt is not None
    error = strategy.receipt.exception(0)
    assert isinstance(error, WouldDeadlock)
    assert ("room for Trade" in str(error)) == (how == "room")
    assert len(result.orders) == 0


def test_it_waits_where_spans_are_taken_too() -> None:
    pytest.importorskip("opentelemetry.trace")  # with it in the process every call of a handler has a span

    async def slow(bus: CommandBus) -> None:
        await asyncio.sleep(0.02)

    _, strategy, _ = run_of(slow)
    assert strategy.told == [True]


def test_a_handler_that_takes_too_long_is_cancelled_and_the_run_goes_on() -> None:
    dispatcher, strategy, bus = rig(lambda strategy: bus.submit(Ask()), spawn_timeout_s=0.05)

    async def never(_: Ask) -> None:
        await asyncio.sleep(3_600)

    bus.register(Ask, never)
    assert dispatcher.run() == "complete"
    assert strategy.receipt is not None
    assert strategy.receipt.cancelled()
    assert strategy.told == [True], "by then, and not by the end of the run"
    late = [letter.error for letter in bus.dead_letters if letter.reason == "failed"]
    assert [type(error) for error in late] == [SpawnTimedOut]
    assert "never did not end within 0.05 s" in str(late[0])


def test_a_stop_ends_the_wait_for_a_handler() -> None:
    dispatcher, _, bus = rig(lambda strategy: bus.post(Ask()))
    begun = threading.Event()

    async def never(_: Ask) -> None:
        begun.set()
        await asyncio.sleep(3_600)

    def stop() -> None:
        assert begun.wait(LONG_S)
        dispatcher.request_stop()

    bus.register(Ask, never)
    stopper = threading.Thread(target=stop)
    stopper.start()
    assert dispatcher.run() == "stopped"
    stopper.join(LONG_S)
    assert bus.dead_letter_counts == {"shutting_down": 1}
