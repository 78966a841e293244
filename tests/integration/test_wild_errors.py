"""What is no ``Exception`` and wants nobody's end, out of what a run calls: it fails the call, and the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_runs import in_thread

import tickrail
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.domain.commands import Command, Event, PauseStrategy
from tickrail.errors import IllegalTransition, NotRunning, WouldDeadlock
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.shutdown import ShutdownReport
from tickrail.testing.loopback_venue import LoopbackVenue

A = "EURUSD.SIM"
WILD = [asyncio.CancelledError, GeneratorExit, BaseException]


class Do(Command):
    text: str = ""


class Happened(Event):
    text: str = ""


class Acts(tickrail.Strategy):
    """Does ``act`` at its third tick."""

    act: Any = None

    def on_start(self) -> None:
        self.seen = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.seen == 3 and self.act is not None:
            self.act()


def backtest(act: Callable[[TickDispatcher], object], prepare: Callable[[TickDispatcher], object]) -> tickrail.Result:
    run = TickDispatcher([{"id": A}])
    run.feed("quotes", tickrail.data.generate_ticks(10))
    strategy = Acts(act=lambda: act(run))
    run.register(strategy, "acts")
    prepare(run)
    run.run()
    assert strategy.seen == 10
    return run.result()


def raising(error: type[BaseException]) -> Callable[[object], object]:
    def call(_: object) -> object:
        raise error("wild")

    return call


@pytest.mark.parametrize("error", WILD)
def test_a_handler_that_raises_it_fails_its_command(error: type[BaseException]) -> None:
    receipts: list[Any] = []

    def prepare(run: TickDispatcher) -> None:
        run.commands.register(Do, raising(error))

    result = backtest(lambda run: receipts.append(run.commands.submit(Do())), prepare)
    assert result.status == "complete"
    assert isinstance(receipts[0].exception(), error)


@pytest.mark.parametrize("error", WILD)
@pytest.mark.parametrize("outside", [False, True], ids=["in a handler", "on another thread"])
def test_a_subscriber_that_raises_it_keeps_nobody_from_hearing(error: type[BaseException], outside: bool) -> None:
    heard: list[Event] = []

    def publish(run: TickDispatcher) -> None:
        if outside:
            in_thread(lambda: run.commands.publish(Happened()))()
        else:
            run.commands.publish(Happened())

    def prepare(run: TickDispatcher) -> None:
        run.commands.subscribe(Happened, raising(error))
        run.commands.subscribe(Happened, heard.append)

    result = backtest(publish, prepare)
    assert (result.status, len(heard)) == ("complete", 1)


@pytest.mark.parametrize("error", WILD)
@pytest.mark.parametrize("of", ["command", "life", "listener"])
def test_a_callback_that_raises_it_is_logged(
    error: type[BaseException], of: str, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[object] = []

    def ask(run: TickDispatcher) -> None:
        receipt: Any = run.commands.submit(Do()) if of == "command" else run.lives.pause("acts", mode="no_new_orders")
        if of != "listener":
            receipt.add_done_callback(raising(error))
            receipt.add_done_callback(called.append)

    def prepare(run: TickDispatcher) -> None:
        run.commands.register(Do, lambda _: None)
        if of == "listener":
            run.lives.listen(raising(error))
            run.lives.listen(called.append)

    with caplog.at_level(logging.ERROR):
        assert backtest(ask, prepare).status == "complete"
    assert called
    assert any("failed" in record.message for record in caplog.records)


@pytest.mark.parametrize("error", WILD)
def test_asyncio_code_that_asks_is_not_cancelled_by_it(error: type[BaseException]) -> None:
    run = TickDispatcher([{"id": A}], live="park")
    run.register(Acts(), "acts")
    run.commands.register(Do, raising(error))
    feed = run.live_feed("quotes")
    joined = in_thread(run.run)
    while run.commands._standing() == 0:
        threading.Event().wait(0.001)

    async def ask() -> str:
        try:
            await run.commands.execute_async(Do())
        except (RuntimeError, BaseException) as raised:
            return type(raised).__name__
        return ""

    assert asyncio.run(ask()) == ("BaseException" if error is BaseException else "RuntimeError")
    feed.close()
    run.request_stop()
    joined()


def test_a_run_that_ends_by_an_error_takes_its_orders_back(tmp_path: Path) -> None:
    """Here by whoever is told of its progress; a signal handler that raises is no other."""
    with LoopbackVenue(tmp_path / "orders.jsonl", price=10.0) as venue:
        venue.set(ack_delay_s=0.02)
        run = TickDispatcher([{"id": "A.LOOP"}], live="park", run_id="r1")
        strategy = Acts(act=lambda: strategy.buy("A.LOOP", 1.0, limit=0.01))
        run.register(strategy, "acts")
        run.send_away({"LOOP": LoopbackExecution(name="LOOP", address=venue.address, timeout_s=5.0)})
        feed = run.live_feed("quotes")

        def progress(*_: object) -> None:
            if any(order["state"] == "ACCEPTED" for order in venue.books.orders.values()):
                raise ValueError("out of progress")

        over = threading.Event()

        def publish() -> None:
            with feed.publisher() as publisher:
                while not over.wait(0.005):
                    publisher.publish_quote("A.LOOP", 9.9, 10.1)

        def publishing() -> None:
            with contextlib.suppress(tickrail.errors.FeedClosed):
                publish()

        joined = in_thread(publishing)
        with pytest.raises(ValueError, match="out of progress"):
            run.run(progress)
        over.set()
        joined()
        assert [order["state"] for order in venue.books.orders.values()] == ["CANCELED"]
        report = ShutdownReport.of(run.result())
    assert report.abandoned == ()
    assert report.standing["acts"] == {"state": "STOPPED", "open_orders": 0, "positions": {}}


@pytest.mark.parametrize("inside", [True, False])
def test_who_runs_it_a_second_time_is_refused_and_the_run_goes_on(inside: bool) -> None:
    run = TickDispatcher([{"id": A}], live="park")
    refused: list[str] = []

    def again() -> None:
        for act in (run.run, run.finish, run._native.run, run._native.finish, run.pull):
            try:
                act()
            except (RuntimeError, IllegalTransition) as error:  # the native side has but the one
                refused.append(str(error))

    strategy = Acts(act=again if inside else None)
    run.register(strategy, "acts")
    publisher = run.live_feed("quotes").publisher()
    joined = in_thread(run.run)

    def publish(to: int) -> None:
        for _ in range(5):
            publisher.publish_quote(A, 1.0, 1.1)
        while strategy.seen < to:
            threading.Event().wait(0.001)

    publish(5)
    if not inside:
        again()
    assert len(refused) == 5
    assert all("the run is going on" in message for message in refused), refused
    publish(10)
    assert run.lives.dispatch_thread is not None
    assert not run._native.stop_requested
    assert run._native.end is None
    publisher.close()
    run.seal()
    joined()
    assert run.result().status == "complete"


@pytest.mark.parametrize("live", [None, "park"])
def test_a_handler_waits_for_no_pause_and_no_coroutine(live: str | None) -> None:
    said: list[BaseException] = []
    run = TickDispatcher([{"id": A}], live=live)

    tried = threading.Event()  # else the coroutine may have ended before its receipt is asked

    async def asks(_: Do) -> None:
        await asyncio.to_thread(tried.wait, 10)
        refused = pytest.raises((WouldDeadlock, NotRunning))
        with refused if live is None else contextlib.nullcontext():
            await run.commands.execute_async(PauseStrategy("acts"))

    def wait() -> None:
        bus = run.commands
        for receipt in (bus.execute(PauseStrategy("acts")), bus.submit(Do())):
            for method in (receipt.result, receipt.exception):
                with pytest.raises(WouldDeadlock) as caught:
                    method()
                said.append(caught.value)
        tried.set()

    strategy = Acts(act=wait)
    run.register(strategy, "acts")
    run.commands.register(Do, asks)
    if live is None:
        run.feed("quotes", tickrail.data.generate_ticks(10))
        run.run()
    else:
        feed = run.live_feed("quotes")
        joined = in_thread(run.run)
        with feed.publisher() as publisher:
            for _ in range(10):
                publisher.publish_quote(A, 1.0, 1.1)
        run.seal()
        joined()
    assert len(said) == 4, run.result().errors
    assert all("add_done_callback" in str(error) for error in said)
