"""A halt reaches orders that have passed the gate, while the loop is busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acting_orders import ENDS, A, acting, rests_then, statuses
from live_runs import LONG_S, in_thread, publish_until, wait_until

from tickrail._native import end_by, handler_overruns, watch_handlers
from tickrail.cli.ctl import ask
from tickrail.orchestration.control import socket_of
from tickrail.orchestration.live import open_live
from tickrail.testing.execution import FakeAsyncExecution, FakeExecution

LONG_NS = int(LONG_S * 1e9)


def halting(
    strategy: Any, venue: Any, tmp_path: Path, within_s: float = 0.2
) -> tuple[Any, Callable[[], dict[str, Any]]]:
    """A run, and what an operator does who halts it."""
    run = open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1")
    control = run._dispatcher.open_control(socket_of(tmp_path, "r1"), "r1")

    def halt() -> dict[str, Any]:
        answer: dict[str, Any] = ask(tmp_path, None, within_s, "halt", {})["result"]
        control.close()
        return answer

    return run, halt


def driven(run: Any, strategy: Any, fake: FakeExecution, ends: int) -> None:
    def ended() -> bool:
        return sum(status in ENDS for status in statuses(strategy)) >= ends

    with run:
        publish_until(run, ended, instrument=A, meanwhile=fake.deliver, said=lambda: strategy.told)


@pytest.mark.parametrize("kind", [FakeExecution, FakeAsyncExecution], ids=["a thread", "coroutines"])
def test_a_halt_takes_back_what_is_at_a_venue_while_a_handler_keeps_the_loop(kind: Any, tmp_path: Path) -> None:
    venue = kind(fills="by_hand")
    fake = venue.sync if kind is FakeAsyncExecution else venue
    answers: list[dict[str, Any]] = []

    def keep(self: Any) -> None:
        answers.append(halt())
        wait_until(lambda: fake.called("cancel"))

    strategy = rests_then(keep)
    run, halt = halting(strategy, venue, tmp_path)
    driven(run, strategy, fake, 1)
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "CANCELED"]
    assert answers[0]["open_orders"] == {"Acts": 1}
    assert "those at venues outside are asked back without it" in answers[0]["waiting"]


@pytest.mark.parametrize("leaves", [False, True])
def test_a_stop_takes_back_what_is_at_a_venue_while_a_handler_keeps_the_loop(leaves: bool) -> None:
    """In a process that nobody ends too: once the handler has taken as long as it may when the run is to stop."""
    venue = FakeExecution(fills="by_hand")

    def keep(self: Any) -> None:
        run.request_stop()
        wait_until(lambda: overruns() == 1 if leaves else venue.called("cancel"))

    def overruns() -> int:
        return sum(int(one["stuck"]) for one in handler_overruns(run._dispatcher._native))

    strategy = rests_then(keep)
    run = open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1")
    native = run._dispatcher._native
    watch_handlers(native, slow_ns=10_000_000, deadline_ns=LONG_NS, last_deadline_ns=50_000_000, ask=lambda *_: True)
    if leaves:
        run._dispatcher._leaving.add(0)
        end_by(native, 0, leave_orders=True, close_positions=False)
    feed = run.feed("quotes")

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish_quote(A, 9.9, 10.1)
            wait_until(lambda: "ACCEPTED" in statuses(strategy))
            publisher.publish_quote(A, 9.9, 10.1)
        wait_until(lambda: (venue.deliver(), run._dispatcher.ended)[1])

    publishing = in_thread(publish)
    with run:
        result = run.run()
    publishing()
    assert bool(venue.called("cancel")) is not leaves
    assert result.ok, result.errors


def test_what_waits_to_be_sent_when_trading_is_halted_is_not_sent(tmp_path: Path) -> None:
    """In the outbox, as the I/O thread is busy, and on the thread of an adapter that keeps one."""
    sent, busy = threading.Event(), threading.Event()

    class Slow(FakeExecution):
        def submit(self, order: Any) -> Any:
            sent.set()
            assert busy.wait(LONG_S)
            return super().submit(order)

    async def keep_the_thread() -> None:
        busy.wait(LONG_S)

    def act(self: Any) -> None:
        if self.ticks == 1:
            for _ in range(3):  # the first is being sent when the halt comes
                self.buy(A, 2.0, limit=8.0)
        elif self.ticks == 2:
            assert sent.wait(LONG_S)
            run._dispatcher.io.run(keep_the_thread())
            self.buy(A, 2.0, limit=8.0)
        elif self.ticks == 3:
            halt()
            busy.set()

    venue = Slow(fills="by_hand")
    strategy = acting(act)
    run, halt = halting(strategy, venue, tmp_path)
    driven(run, strategy, venue, 4)
    assert len(venue.called("submit")) == 1
    assert strategy.told.count(("REJECTED", "trading is halted")) == 3
    assert statuses(strategy).count("CANCELED") == 1


@pytest.mark.parametrize("who", ["io", "venue"])
def test_a_halt_says_how_many_cancels_have_not_reached_their_venue(who: str, tmp_path: Path) -> None:
    """The loop has done its part and answers; a coroutine keeps the I/O thread, or the venue does not answer."""
    busy = threading.Event()
    answers: list[dict[str, Any]] = []

    class Silent(FakeAsyncExecution):
        async def cancel(self, client_id: str) -> None:
            while not busy.is_set():
                await asyncio.sleep(0.005)
            await super().cancel(client_id)

    venue = Silent(fills="by_hand") if who == "venue" else FakeAsyncExecution(fills="by_hand")

    async def keep_the_thread() -> None:
        busy.wait(LONG_S)

    def halt_it() -> None:
        answers.append(halt())
        busy.set()

    def act(self: Any) -> None:
        if self.ticks == 1:
            for _ in range(2):
                self.buy(A, 2.0, limit=8.0)
        elif statuses(self).count("ACCEPTED") == 2 and not self.halting:
            self.halting = True
            if who == "io":
                run._dispatcher.io.run(keep_the_thread())
            in_thread(halt_it)

    strategy = acting(act)
    strategy.halting = False
    run, halt = halting(strategy, venue, tmp_path, 0.8)
    driven(run, strategy, venue.sync, 2)
    assert answers[0]["unsent"] == {"cancels": 2, "orders": 0}
    assert answers[0]["waiting"].startswith("cancels have not reached their venues: 2")
    assert statuses(strategy).count("CANCELED") == 2


def test_a_halt_whose_cancels_have_reached_their_venue_has_nothing_waiting(tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []
    venue = FakeAsyncExecution(fills="by_hand")

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif "ACCEPTED" in statuses(self) and not self.halting:
            self.halting = True
            in_thread(lambda: answers.append(halt()))

    strategy = acting(act)
    strategy.halting = False
    run, halt = halting(strategy, venue, tmp_path, 1.0)
    driven(run, strategy, venue.sync, 1)
    wait_until(lambda: bool(answers))
    assert "waiting" not in answers[0]
    assert "unsent" not in answers[0]
