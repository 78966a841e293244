"""A live run whose timer asks for something before a slice that waits: its rerun has the same turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from live_runs import in_thread

import tickrail
from tickrail.domain.commands import Command, ResumeStrategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher

A = "EURUSD.SIM"
MS = 1_000_000


class Note(Command):
    text: str


class Rests(tickrail.Strategy):
    """Pauses itself in its second tick until a timer, or a command of the clock, resumes it; then it orders."""

    run: Any
    by_command: bool
    hold: Callable[[], object] | None = None

    def on_start(self) -> None:
        self.told: list[str] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.told.append(f"tick {tick.bid}")
        if tick.bid != 2.0:
            return
        self.run.lives.pause("rests")
        if self.by_command:
            self.run.commands.schedule_after(3 * MS, ResumeStrategy("rests"))
        else:
            self.schedule_after(3 * MS, lambda _: self.run.lives.resume("rests"))
        if self.hold is not None:
            self.hold()

    def on_resume(self) -> None:
        self.told.append("resume")
        self.buy(A, 2.0)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.told.append(update.status)


def made(run: TickDispatcher, **settings: Any) -> Rests:
    strategy = Rests(run=run, **settings)
    run.register(strategy, "rests")
    run.commands.register(Note, lambda note: strategy.told.append(note.text))
    return strategy


@pytest.mark.parametrize("by_command", [False, True])
def test_what_a_timer_asked_for_before_a_slice_is_done_there_again(by_command: bool) -> None:
    """The rerun made a turn that no tape had, and did not come to what was recorded behind it."""
    run = TickDispatcher([{"id": A}], live="park")
    feed_of: list[Any] = []

    def publish(*bids: float) -> None:
        with feed_of[0].publisher() as publisher:
            for bid in bids:
                publisher.publish_quote(A, bid, 10.0)

    def hold() -> None:
        in_thread(lambda: publish(3.0))()
        time.sleep(0.006)  # beyond the timer's time

    strategy = made(run, by_command=by_command, hold=hold)
    commands = bytearray()
    run.record_commands(commands.extend)
    recorder = run.record(1 << 12, 1 << 16)
    feed_of.append(run.live_feed("quotes"))

    def operate() -> None:
        while "tick 3.0" not in getattr(strategy, "told", ()):
            time.sleep(0.001)
        run.commands.execute(Note("noted"), timeout_s=30)
        publish(4.0)
        run.seal()

    publish(1.0, 2.0)
    joined = in_thread(operate)
    run.run()
    joined()
    assert strategy.told[:2] == ["tick 1.0", "tick 2.0"]
    assert strategy.told[-2:] == ["noted", "tick 4.0"]
    assert "resume" in strategy.told
    rerun = TickDispatcher([{"id": A}])
    other = made(rerun, by_command=by_command)
    rerun.replay(recorder.finish())
    rerun.replay_commands(bytes(commands))
    rerun.run()
    assert other.told == strategy.told
    assert rerun.result().digest == run.result().digest
