"""Commands from other threads and loops during a run: one total order, recorded, and the same again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail.domain.commands import Command, Event, Lane, PauseStrategy
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import CommandInvalid, IllegalTransition, LaneFull, NotRunning, ShuttingDown, WouldDeadlock
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"
#: Commands that may be handled in one go, where ticks have had the steps before: ``QUANTUM`` of the core.
QUANTUM = 64


def array(ticks: int) -> tickrail.TickArray:
    records = np.zeros(ticks, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, ticks + 1)
    records["kind"] = 1
    records["bid"] = 1.0
    records["ask"] = 1.5
    records["bid_size"] = records["ask_size"] = 1.0
    return tickrail.TickArray.from_records(records, [EURUSD])


class Buy(Command):
    strategy: str
    quantity: float


class Note(Command):
    lane = Lane.CONTROL  # type: ignore[misc] # a class variable, said by assignment

    text: str


class Flood(Command):
    thread: int


class FloodBehind(Command):
    lane = Lane.BACKGROUND  # type: ignore[misc]

    thread: int


class Stop(Command):
    pass


class Bought(Event):
    quantity: float


class Trader(tickrail.Strategy):
    """Buys what it is told to, and sends commands itself."""

    at_tick = None
    seen = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.at_tick is not None:
            self.at_tick(self)


class Rig:
    """A run over made ticks, with a bus that trades and notes."""

    def __init__(self, ticks: int = 1_000, feeds: int = 1) -> None:
        self.dispatcher = TickDispatcher([{"id": EURUSD}])
        made = array(ticks)
        for number in range(feeds):
            self.dispatcher.feed(f"feed{number}", made)
        self.trader = Trader()
        self.dispatcher.register(self.trader, "trader")
        self.bus: CommandBus = self.dispatcher.commands
        self.notes: list[tuple[str, int]] = []
        self.bus.register(Buy, self.buy)
        self.bus.register(Note, self.note)
        self.recording = bytearray()

    def buy(self, command: Buy) -> int:
        return self.trader.buy(EURUSD, command.quantity)

    def note(self, command: Note) -> int:
        self.notes.append((command.text, self.trader.seen))
        return len(self.notes)

    def record(self) -> None:
        self.dispatcher.record_commands(self.recording.extend)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs on a thread of its own; the block is outside."""
        ends: list[Any] = []
        thread = threading.Thread(target=lambda: ends.append(self.dispatcher.run()))
        thread.start()
        try:
            while self.bus._standing() == 0 and thread.is_alive():
                time.sleep(0.001)
            yield
        finally:
            self.dispatcher.request_stop()
            thread.join(60)
        assert ends


def endless() -> Rig:
    return Rig(250_000, feeds=512)


@pytest.mark.slow
def test_four_threads_and_a_loop_command_a_run_and_the_record_runs_again() -> None:
    rig = endless()
    rig.record()
    with rig.running():

        def send(number: int) -> None:
            for round_ in range(20):
                assert rig.bus.execute(Buy("trader", 1.0 + number), timeout_s=60) > 0
                rig.bus.post(Note(f"{number}-{round_}"), wait_s=60)

        async def ask() -> list[Any]:
            return await asyncio.gather(*(rig.bus.execute_async(Buy("trader", 9.0)) for _ in range(50)))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        assert len(set(asyncio.run(ask()))) == 50
        for thread in threads:
            thread.join(60)
        rig.bus.execute(Note("last"), timeout_s=60)
    result = rig.dispatcher.result()
    assert len(result.orders) == 4 * 20 + 50
    texts = [text for text, _ in rig.notes]
    for number in range(4):
        mine = [text for text in texts if text.startswith(f"{number}-")]
        assert mine == [f"{number}-{round_}" for round_ in range(20)], "each sender's order is kept"
    assert rig.bus.dead_letters == ()

    again = endless()
    count = again.dispatcher.replay_commands(bytes(rig.recording))
    assert count == len(rig.notes) + len(result.orders)
    again.bus.use(_stopping_after_the_last(again))
    with again.running():
        while again.dispatcher._native.end is None:
            time.sleep(0.001)
    assert again.notes == rig.notes
    first, second = result.orders, again.dispatcher.result().orders
    assert np.array_equal(first["made_position"][: len(second)], second["made_position"])
    assert np.array_equal(first["quantity"], second["quantity"])


def _stopping_after_the_last(rig: Rig) -> Callable[[Any, Callable[[Any], Any]], Any]:
    def middleware(command: Any, call_next: Callable[[Any], Any]) -> Any:
        answer = call_next(command)
        if isinstance(command, Note) and command.text == "last":
            rig.dispatcher.request_stop()
        return answer

    return middleware


def test_a_rerun_of_a_finished_run_has_the_same_digest() -> None:
    rig = Rig()
    rig.record()

    def outside(trader: Trader) -> None:
        if trader.seen % 100 == 0:
            worker = threading.Thread(target=lambda: rig.bus.post(Buy("trader", float(trader.seen))))
            worker.start()
            worker.join()

    rig.trader.at_tick = outside
    rig.dispatcher.run()
    assert len(rig.dispatcher.result().orders) == 10
    again = Rig()
    assert again.dispatcher.replay_commands(bytes(rig.recording)) == 10
    again.dispatcher.run()
    assert again.dispatcher.result().digest == rig.dispatcher.result().digest
    assert Rig().dispatcher.run() == "complete"


def test_what_the_last_command_asks_of_a_life_is_done_in_the_run_and_in_its_rerun() -> None:
    rig = Rig(100)
    rig.record()

    def outside(trader: Trader) -> None:
        if trader.seen == 100:
            worker = threading.Thread(target=lambda: rig.bus.post(PauseStrategy("trader")))
            worker.start()
            worker.join()

    rig.trader.at_tick = outside
    assert rig.dispatcher.run() == "complete"
    first, again = rig.dispatcher.result(), Rig(100)
    assert [change.operation for change in first.changes] == ["initialise", "start", "pause", "stop"]
    assert again.dispatcher.replay_commands(bytes(rig.recording)) == 1
    assert again.dispatcher.run() == "complete"
    assert again.dispatcher.result().changes == first.changes
    assert again.dispatcher.result().digest == first.digest


class Sender(tickrail.Strategy):
    """Calls a function at its fifth tick."""

    bus: tickrail.Inject[CommandBus]
    log: tickrail.Inject[list]  # type: ignore[type-arg]

    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.count == 5:
            self.log.append(("inline", self.bus.execute(Note("now"))))
            receipt = self.bus.submit(Note("end of step"))
            self.log.append(("submitted", receipt.done()))
            with pytest.raises(WouldDeadlock):
                receipt.result(60)
            receipt.add_done_callback(lambda done: self.log.append(("done", done.result())))
            self.bus.post(Note("posted"))
            self.buy(tick.instrument, 1.0)
            self.log.append(("returns", None))
        elif self.count == 6:
            self.log.append(("next tick", None))


def test_what_a_handler_sends_takes_effect_at_the_end_of_its_step() -> None:
    dispatcher, log = TickDispatcher([{"id": EURUSD}]), []  # type: tuple[TickDispatcher, list[Any]]
    dispatcher.feed("feed", array(10))
    bus = dispatcher.commands
    bus.register(Note, lambda command: log.append(("handled", command.text)))
    dispatcher.register(Sender(bus=bus, log=log), "sender")
    dispatcher.run()
    assert log == [
        ("handled", "now"),
        ("inline", None),
        ("submitted", False),
        ("returns", None),
        ("handled", "end of step"),
        ("done", None),
        ("handled", "posted"),
        ("next tick", None),
    ]
    assert len(dispatcher.result().orders) == 1


def test_before_and_after_a_run() -> None:
    rig = Rig(20)
    with pytest.raises(NotRunning):
        rig.bus.execute(Note("early"))
    receipt = rig.bus.submit(Note("waits"))
    with pytest.raises(CommandInvalid):
        rig.bus.post(Note(7))  # type: ignore[arg-type]
    rig.dispatcher.run()
    assert receipt.result(0) == 1
    assert rig.notes == [("waits", 0)]
    with pytest.raises(ShuttingDown):
        rig.bus.submit(Note("late"))


def test_commands_that_had_no_turn_are_told_and_no_receipt_is_left() -> None:
    rig = Rig(1_000)
    receipts: list[Any] = []

    def outside(trader: Trader) -> None:
        if trader.seen == 5:
            worker = threading.Thread(
                target=lambda: receipts.extend(rig.bus.submit(Buy("trader", 1.0)) for _ in range(20))
            )
            worker.start()
            worker.join()
            rig.dispatcher.request_stop()

    rig.trader.at_tick = outside
    rig.dispatcher.run()
    assert len(receipts) == 20
    assert all(isinstance(receipt.exception(0), ShuttingDown) for receipt in receipts)
    assert rig.bus.dead_letter_counts == {"shutting_down": 20}


@pytest.mark.slow
def test_a_flood_of_four_threads_is_refused_and_leaves_ticks_half_of_the_steps() -> None:
    """Of commands without end in two lanes those that find no place are told so, and all others are handled."""
    rig, handled, lowest, excess = endless(), [0] * 4, 0, 0
    kinds = (Flood, FloodBehind, Flood, FloodBehind)

    def handle(command: Any) -> None:
        nonlocal lowest, excess
        ahead = sum(handled) - rig.trader.seen
        lowest = min(lowest, ahead)  # ticks that went before; from there on commands may be ahead by their credit
        handled[command.thread] += 1
        excess = max(excess, ahead + 1 - lowest)

    rig.bus.register(Flood, handle)
    rig.bus.register(FloodBehind, handle)
    each, accepted, begin = 100_000, [0] * 4, threading.Barrier(5)

    def flood(number: int) -> None:
        begin.wait(60)
        command = kinds[number](number)
        for _ in range(each):
            try:
                rig.bus.post(command)
                accepted[number] += 1
            except LaneFull as error:
                assert error.command == kinds[number].__name__

    with rig.running():
        threads = [threading.Thread(target=flood, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        begin.wait(60)
        while any(thread.is_alive() for thread in threads):  # an operator meanwhile
            rig.bus.execute(Note("first lane"), timeout_s=60)
        for thread in threads:
            thread.join()
        for number in (0, 1):  # the last of its lane
            rig.bus.submit(kinds[number](number), wait_s=60).result(60)
            accepted[number] += 1
        assert handled == accepted, "each that was taken, once"
        assert all(count > 1_000 for count in accepted), "each thread has its turn"
        assert sum(accepted) < 4 * each, "the lanes are bounded"
    assert excess <= QUANTUM, "ticks have at least half of the steps"
    assert rig.notes


@pytest.mark.parametrize("send", ["execute", "submit", "post"])
def test_a_command_that_is_too_large_is_refused_as_invalid(send: str) -> None:
    rig = endless()
    with rig.running():
        with pytest.raises(CommandInvalid, match="the command takes 70021 bytes: expected at most 65536"):
            getattr(rig.bus, send)(Note("x" * 70_000))
        assert rig.bus.execute(Note("fits"), timeout_s=60) == 1
    assert rig.bus.dead_letter_counts == {}


def test_ctrl_c_in_a_handler_ends_the_run_and_answers_the_sender() -> None:
    rig = Rig(100_000)

    def interrupt(_: Stop) -> None:
        raise KeyboardInterrupt

    rig.bus.register(Stop, interrupt)
    receipt = rig.bus.submit(Stop())
    assert rig.dispatcher.run() == "interrupted"
    assert isinstance(receipt.exception(0), KeyboardInterrupt)


def test_events_from_other_threads_have_their_turn_in_the_loop() -> None:
    rig, heard = Rig(1_000), []
    rig.bus.subscribe(Bought, lambda event: heard.append((event.quantity, rig.bus._standing())))

    def outside(trader: Trader) -> None:
        if trader.seen == 5:
            worker = threading.Thread(target=lambda: rig.bus.publish(Bought(7.0)))
            worker.start()
            worker.join()
            rig.bus.publish(Bought(1.0))

    rig.trader.at_tick = outside
    rig.dispatcher.run()
    assert heard == [(1.0, 1), (7.0, 1)]


def test_async_handlers_run_on_the_io_thread_of_the_run_and_end_with_it() -> None:
    rig = Rig(1_000)
    names: list[str] = []

    async def note(_: Stop) -> str:
        names.append(threading.current_thread().name)
        return "noted"

    rig.bus.register(Stop, note)
    receipt = rig.bus.submit(Stop())
    assert receipt.result(30) == "noted"
    assert names == [rig.dispatcher.io.name]
    rig.dispatcher.run()
    with pytest.raises(ShuttingDown):
        rig.bus.submit(Stop())
    assert rig.bus.dead_letter_counts == {"shutting_down": 1}


def test_requests_to_lives_from_other_threads_are_recorded_and_a_rerun_takes_them_again() -> None:
    def outside(rig: Rig) -> Any:
        def at_tick(trader: Trader) -> None:
            if trader.seen in (100, 300):
                act = rig.dispatcher.lives.pause if trader.seen == 100 else rig.dispatcher.lives.stop
                worker = threading.Thread(target=act, args=("trader",))
                worker.start()
                worker.join()
            if trader.seen == 200:
                trader.resume()

        return at_tick

    rig = Rig(500)
    rig.trader.at_tick = outside(rig)
    rig.record()
    rig.dispatcher.run()
    first = rig.dispatcher.result()
    assert [change.operation for change in first.changes] == ["initialise", "start", "pause", "resume", "stop"]

    again, refused = Rig(500), []  # type: tuple[Rig, list[str]]

    def refuse() -> None:
        with pytest.raises(IllegalTransition, match="run again"):
            again.dispatcher.lives.pause("trader")
        refused.append("by the rerun")

    def at_tick(trader: Trader) -> None:
        if trader.seen == 50:
            worker = threading.Thread(target=refuse)
            worker.start()
            worker.join()
        if trader.seen == 200:
            trader.resume()

    again.trader.at_tick = at_tick
    assert again.dispatcher.replay_commands(bytes(rig.recording)) == 2
    again.dispatcher.run()
    assert refused == ["by the rerun"]
    second = again.dispatcher.result()
    assert second.digest == first.digest
    assert second.changes == first.changes


def test_what_a_handler_and_another_thread_ask_at_once_keeps_its_order() -> None:
    def asks(rig: Rig, *, outside: bool) -> Any:
        def at_tick(trader: Trader) -> None:
            if trader.seen == 50:
                rig.dispatcher.lives.pause("trader", mode="no_new_orders")
            if trader.seen == 50 and outside:
                worker = threading.Thread(target=rig.dispatcher.lives.resume, args=("trader",))
                worker.start()
                worker.join()
            if trader.seen == 60 and outside:
                worker = threading.Thread(target=rig.dispatcher.lives.pause, args=("trader",))
                worker.start()
                worker.join()
            if trader.seen == 60:
                rig.dispatcher.lives.resume("trader")

        return at_tick

    rig = Rig(100)
    rig.trader.at_tick = asks(rig, outside=True)
    rig.record()
    rig.dispatcher.run()
    first = rig.dispatcher.result()
    operations = [change.operation for change in first.changes]
    assert operations == [*("initialise", "start", "pause", "resume"), *("pause", "resume", "stop")]
    again = Rig(100)
    again.trader.at_tick = asks(again, outside=False)
    assert again.dispatcher.replay_commands(bytes(rig.recording)) == 2
    again.dispatcher.run()
    assert again.dispatcher.result().digest == first.digest
