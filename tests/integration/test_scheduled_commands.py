"""Commands that the loop's clock sends: each in a step of its own, at its time, the same in every run."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import tickrail
from tickrail.domain.commands import Command
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import CommandInvalid, NotRunning, TimerRefused
from tickrail.orchestration.bus.schedule import Scheduled
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"
STEP_NS = 10_000


class Note(Command):
    text: str
    fails: bool = False


class Trader(tickrail.Strategy):
    at_tick = None
    seen = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.at_tick is not None:
            self.at_tick(self)


class Rig:
    """A hundred ticks, one every ten microseconds; notes say what the clock was."""

    def __init__(self, at_tick: Callable[[Trader, CommandBus], None] | None = None, ticks: int = 100) -> None:
        records = np.zeros(ticks, QUOTE_DTYPE)
        records["ts_event"] = records["ts_init"] = np.arange(1, ticks + 1) * STEP_NS
        records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.5
        self.dispatcher = TickDispatcher([{"id": EURUSD}])
        self.dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
        self.trader = Trader()
        self.dispatcher.register(self.trader, "trader")
        self.bus = self.dispatcher.commands
        self.notes: list[tuple[str, int, int]] = []
        self.bus.register(Note, self.note)
        if at_tick is not None:
            self.trader.at_tick = lambda trader: at_tick(trader, self.bus)
        self.recording = bytearray()

    def note(self, command: Note) -> None:
        if command.fails:
            raise LookupError(command.text)
        self.notes.append((command.text, self.trader.now_ns // STEP_NS, self.trader.seen))
        self.trader.buy(EURUSD, 1.0)

    def run(self) -> tickrail.Result:
        assert self.dispatcher.run() == "complete"
        return self.dispatcher.result()


def test_each_is_sent_at_its_time_in_a_step_of_its_own() -> None:
    def at_tick(trader: Trader, bus: CommandBus) -> None:
        if trader.seen == 5:
            bus.schedule_at(20 * STEP_NS, Note("at 20"))
            bus.schedule_after(3 * STEP_NS, Note("after 3"))
            bus.schedule_at(0, Note("at once"))
            bus.schedule_every(30 * STEP_NS, Note("every 30"), start_ns=10 * STEP_NS, end_ns=80 * STEP_NS)

    rig = Rig(at_tick)
    result = rig.run()
    assert rig.notes == [
        ("at once", 5, 5),
        ("after 3", 8, 8),
        ("every 30", 10, 10),
        ("at 20", 20, 20),
        ("every 30", 40, 40),
        ("every 30", 70, 70),
    ]
    assert len(result.orders) == 6, "what they ask for takes effect at the end of their step"
    assert Rig(at_tick).run().digest == result.digest
    assert Rig().run().digest != result.digest


def test_it_can_be_cancelled_by_whoever_scheduled_it() -> None:
    kept: list[Scheduled] = []

    def at_tick(trader: Trader, bus: CommandBus) -> None:
        if trader.seen == 1:
            kept.append(bus.schedule_at(50 * STEP_NS, Note("never")))
            kept.append(bus.schedule_every(10 * STEP_NS, Note("every 10")))
        if trader.seen == 35:
            for one in kept:
                one.cancel()
                one.cancel()

    rig = Rig(at_tick)
    rig.run()
    assert [now for _, now, _ in rig.notes] == [11, 21, 31]


def test_another_thread_schedules_by_a_command_that_a_rerun_takes_again() -> None:
    def outside(trader: Trader, bus: CommandBus) -> None:
        def schedule() -> None:
            bus.schedule_at(60 * STEP_NS, Note("at 60"))
            bus.schedule_at(70 * STEP_NS, Note("never")).cancel()

        if trader.seen == 5:
            worker = threading.Thread(target=schedule)
            worker.start()
            worker.join()

    rig = Rig(outside)
    early = rig.bus.schedule_after(50 * STEP_NS, Note("early"))
    rig.dispatcher.record_commands(rig.recording.extend)
    result = rig.run()
    assert early.receipt is not None
    assert early.receipt.result(0) is None
    assert [text for text, _, _ in rig.notes] == ["early", "at 60"]
    again = Rig()
    assert again.dispatcher.replay_commands(bytes(rig.recording)) == 4
    assert again.run().digest == result.digest
    assert again.notes == rig.notes


def test_a_time_that_no_clock_comes_to_is_none_that_is_wrong() -> None:
    scheduled: list[Scheduled] = []

    def at_tick(trader: Trader, bus: CommandBus) -> None:
        if trader.seen == 3:
            scheduled.append(bus.schedule_after(2**63 - 1, Note("never")))

    rig = Rig(at_tick)
    late = rig.bus.schedule_after(2**63 - 1, Note("never"))
    rig.dispatcher.run()
    assert late.receipt is not None and late.receipt.result(0) is None
    assert (len(scheduled), rig.notes, rig.bus.dead_letters) == (1, [], ())


def test_what_is_wrong_is_said() -> None:
    refused: list[str] = []

    def at_tick(trader: Trader, bus: CommandBus) -> None:
        if trader.seen == 1:
            with pytest.raises(TimerRefused):
                bus.schedule_every(1, Note("too often"))
            with pytest.raises(CommandInvalid):
                bus.schedule_at(0, Note(7))  # type: ignore[arg-type]
            with pytest.raises(CommandInvalid, match="interval_ns is 0: expected at least 1_000"):
                bus.schedule_every(0, Note("all the time"))
            with pytest.raises(CommandInvalid, match=r"at_ns"):
                bus.schedule_at(2**63, Note("beyond the clock"))
            bus.schedule_at(0, Note("fails", fails=True))
            refused.append("both")

    rig = Rig(at_tick)
    receipt = rig.bus.schedule_every(1, Note("too often")).receipt
    with pytest.raises(CommandInvalid, match=r"after_ns"):
        rig.bus.schedule_after(2**63, Note("beyond the clock"))
    rig.run()
    assert receipt is not None
    assert isinstance(receipt.exception(0), TimerRefused)
    assert refused == ["both"]
    assert [str(letter.error) for letter in rig.bus.dead_letters] == ["fails"]
    with pytest.raises(NotRunning):
        CommandBus().schedule_at(0, Note("no clock"))


@pytest.mark.slow
def test_commands_that_go_round_in_circles_do_not_stop_the_clock() -> None:
    def at_tick(trader: Trader, bus: CommandBus) -> None:
        if trader.seen == 1:
            bus.schedule_at(0, Note("round"))

    rig = Rig(at_tick, ticks=20)
    rig.note = lambda command: rig.bus.schedule_at(0, command)  # type: ignore[assignment, method-assign, return-value]
    rig.bus._routes.by_type[Note].call = rig.note
    rig.run()
    assert rig.trader.seen == 20
