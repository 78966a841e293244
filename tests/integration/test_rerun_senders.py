"""Coroutines that send commands, in a run and in its rerun: what is recorded comes once, and they are answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import Strategy
from tickrail.domain.commands import Command
from tickrail.errors import ShuttingDown
from tickrail.orchestration.tick_dispatcher import TickDispatcher

LONG_S = 30.0
A = "A.SIM"


class Ask(Command):
    pass


class Trade(Command):
    quantity: float = 1.0


class Sender(Strategy):
    """Begins ``work`` at its fifth tick and keeps what came of it."""

    def __init__(self, work: Callable[[Sender], Any]) -> None:
        self.work = work
        self.told = threading.Event()

    def on_start(self) -> None:
        self.count = 0
        self.results: list[Any] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.count == 5:
            self.spawn(self.work(self), self.keep)

    def keep(self, result: tickrail.SpawnResult) -> None:
        self.results.append(result.value if result.error is None else result.error)
        self.told.set()


class Rig:
    """One run, recorded or again."""

    def __init__(self, work: Callable[[Rig], Any], **settings: Any) -> None:
        self.dispatcher = TickDispatcher([{"id": A}], **settings)
        self.sender = Sender(lambda _: work(self))
        self.dispatcher.register(self.sender, "sender")
        self.bus = self.dispatcher.commands
        self.bus.register(Trade, lambda command: self.sender.buy(A, command.quantity))
        self.bus.register(Ask, self.ask)
        self.commands = bytearray()

    async def ask(self, _: Ask) -> None:
        self.bus.post(Trade(7.0))

    def told(self) -> tuple[str, list[float], list[Any], dict[Any, int]]:
        result = self.dispatcher.result()
        assert result.ok, result.errors
        quantities = result.orders["quantity"].tolist()
        return result.digest, quantities, self.sender.results, dict(self.bus.dead_letter_counts)


def quotes(count: int) -> Any:
    records = np.zeros(count, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, count + 1)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.1
    return records


async def sends(rig: Rig) -> str:
    rig.bus.post(Trade(1.0))
    rig.bus.submit(Trade(2.0))
    await asyncio.to_thread(rig.bus.post, Trade(3.0))
    await rig.bus.execute_async(Ask())
    return "sent"


def test_what_a_coroutine_of_a_backtest_sends_is_no_failure_of_its_rerun() -> None:
    """It was answered by ShuttingDown, which was the coroutine's result then."""
    first = Rig(sends)
    first.dispatcher.feed("f", tickrail.TickArray.from_records(quotes(20_000), [A]))
    first.dispatcher.record_commands(first.commands.extend)
    first.dispatcher.run()
    again = Rig(sends)
    again.dispatcher.feed("f", tickrail.TickArray.from_records(quotes(20_000), [A]))
    assert again.dispatcher.replay_commands(bytes(first.commands)) == 4
    again.dispatcher.run()
    assert again.told() == first.told()
    _, quantities, results, letters = again.told()
    assert (sorted(quantities), results, letters) == ([1.0, 2.0, 3.0, 7.0], ["sent"], {})


@pytest.mark.parametrize("lags", [False, True], ids=["in time", "after its recorded turn"])
def test_a_coroutine_of_a_live_run_awaits_its_command_in_the_rerun_too(lags: bool) -> None:
    async def awaits(rig: Rig) -> Any:
        if lags and rig is again:
            await asyncio.sleep(0.05)  # its command has had its turn: nobody waits for coroutines before their result
        answers = [await rig.bus.execute_async(Trade(float(number))) for number in (1, 2)]
        return [*answers, await asyncio.to_thread(rig.bus.execute, Trade(3.0))]

    again: Rig | None = None
    first = Rig(awaits, live="park")
    first.dispatcher.record_commands(first.commands.extend)
    feed, recorder = first.dispatcher.live_feed("f"), first.dispatcher.record(1 << 12, 1 << 16)

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(20))
            assert first.sender.told.wait(LONG_S)
        first.dispatcher.seal()

    publishing = threading.Thread(target=publish)
    publishing.start()
    first.dispatcher.run()
    publishing.join(LONG_S)
    again = Rig(awaits)
    again.dispatcher.replay(recorder.finish())
    again.dispatcher.replay_commands(bytes(first.commands))
    again.dispatcher.run()
    assert again.told() == first.told()
    assert again.told()[2:] == ([[1, 2, 3]], {})


def test_what_the_recording_does_not_have_is_told_when_the_rerun_is_over() -> None:
    receipts: list[Any] = []

    async def more(rig: Rig) -> None:
        if rig is again:
            receipts.append(rig.bus.submit(Trade(9.0)))

    again: Rig | None = None
    first = Rig(more)
    first.dispatcher.feed("f", tickrail.TickArray.from_records(quotes(20), [A]))
    first.dispatcher.record_commands(first.commands.extend)
    first.dispatcher.run()
    again = Rig(more)
    again.dispatcher.feed("f", tickrail.TickArray.from_records(quotes(20), [A]))
    again.dispatcher.replay_commands(bytes(first.commands))
    again.dispatcher.run()
    assert isinstance(receipts[0].exception(0), ShuttingDown)
    assert again.told()[:2] == first.told()[:2]
