"""A live run that was operated, run again by `backtest` from its two recordings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import tickrail
from tickrail.cli.ctl import ask
from tickrail.domain.commands import (
    CancelAllOrders,
    ClosePositions,
    Command,
    Event,
    Halt,
    PauseStrategy,
    SetLimits,
    Shutdown,
    UpdateParameters,
)
from tickrail.errors import FeedClosed, NoHandler, WouldDeadlock
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"
LONG_S = 30.0


class Trader(tickrail.Strategy):
    quantity: float = 1.0

    def on_start(self) -> None:
        self.seen, self.grown = 0, 0.0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.buy(EURUSD, self.quantity + self.grown)
        self.seen += 1


class Buy(Command):
    quantity: float


class BuyFor(Command):
    strategy: str


class Told(Event):
    text: str


class Live:
    """A live run on a thread of its own, with both recordings."""

    def __init__(self, tmp_path: Path) -> None:
        self.run_dir = tmp_path
        self.trader = Trader()
        self.run = tickrail.open_live({"trader": self.trader}, [EURUSD])
        self.dispatcher = self.run._dispatcher
        self.bus = self.dispatcher.commands
        (tmp_path / "control").mkdir(mode=0o700)
        self.control = self.dispatcher.open_control(tmp_path / "control" / "run.sock", "run")
        self.feed = self.run.feed("feed")
        self.commands = bytearray()
        self.run.record_commands(self.commands.extend)
        self.recorder = self.run.record()

    def operated(self, act: Callable[[Any], object]) -> tuple[Any, Any]:
        """Five ticks, what ``act`` does, five ticks; the result, and the recording."""
        ended: list[Any] = []
        thread = threading.Thread(target=lambda: ended.append(self.run.run()))
        publisher = self.feed.publisher()
        with closing(self.control):
            thread.start()
            self.publish(publisher, seen=5)
            act(self)
            with suppress(FeedClosed):  # where the run is over by then
                self.publish(publisher, seen=None)
            publisher.close()
            self.run.seal()
            thread.join(LONG_S)
        return ended[0], self.recorder.finish()

    def publish(self, publisher: Any, *, seen: int | None) -> None:
        for _ in range(5):
            publisher.publish_quote(EURUSD, 1.1, 1.2)
        until = time.monotonic() + LONG_S
        while seen is not None and getattr(self.trader, "seen", 0) < seen and time.monotonic() < until:
            time.sleep(0.001)

    def ask(self, name: str, **arguments: Any) -> None:
        assert ask(self.run_dir, "run", LONG_S, name, arguments)["ok"]


ACTS: dict[str, tuple[Callable[[Live], object], int | None]] = {  # and how many orders there are in all
    "parameters": (lambda live: live.bus.execute(UpdateParameters("trader", {"quantity": 2.0})), 10),
    "pause": (lambda live: live.bus.execute(PauseStrategy("trader", mode="no_ticks")), 5),
    "halt": (lambda live: live.bus.execute(Halt(reason="enough")), 10),
    "close": (lambda live: live.bus.execute(ClosePositions()), 11),
    "limits": (lambda live: live.bus.execute(SetLimits(max_order_quantity=0.5)), 10),
    "shutdown": (lambda live: live.bus.execute(Shutdown(reason="done")), None),
    "ctl pause": (lambda live: live.ask("pause", strategy="trader", mode="no_ticks"), 5),
    "ctl halt": (lambda live: live.ask("halt", reason="enough"), 10),
    "ctl set": (lambda live: live.ask("set", strategy="trader", params={"quantity": 2.0}), 10),
    "ctl limits": (lambda live: live.ask("limits", max_order_quantity=0.5), 10),
    "ctl close": (lambda live: live.ask("close"), 11),
    "ctl shutdown": (lambda live: live.ask("shutdown", reason="done"), None),
    "nobody hears": (lambda live: live.bus.publish(Told("it rains")), 10),
}


@pytest.mark.parametrize("act", list(ACTS))
def test_an_operated_run_is_the_same_again(tmp_path: Path, act: str) -> None:
    do, orders = ACTS[act]
    live = Live(tmp_path)
    first, recording = live.operated(do)
    assert orders is None or len(first.orders) == orders, "it has done something"
    again = tickrail.backtest({"trader": Trader()}, recording, commands=bytes(live.commands))
    assert again.digest == first.digest
    assert len(again.orders) == len(first.orders)


@pytest.mark.parametrize(
    ("command", "count"), [(UpdateParameters("trader", {"quantity": 2.0}), 56), (CancelAllOrders("trader"), 64)]
)
def test_a_run_with_more_commands_than_ticks_is_the_same_again(tmp_path: Path, command: Command, count: int) -> None:
    """The last of its share of an idle loop is followed by a turn with nothing to do, which the rerun passed over."""

    def act(live: Live) -> None:
        for _ in range(count):
            live.bus.execute(command)
            time.sleep(0.001)  # the loop rests after each
        with live.feed.publisher() as publisher:
            live.publish(publisher, seen=10)
        live.bus.execute(command)  # what comes behind that turn is not found any more

    live = Live(tmp_path)
    first, recording = live.operated(act)
    again = tickrail.backtest({"trader": Trader()}, recording, commands=bytes(live.commands))
    assert again.digest == first.digest
    assert len(again.orders) == len(first.orders) == 15


@pytest.mark.parametrize("command", [Buy(3.0), BuyFor("trader")])
def test_a_recorded_command_that_nobody_handles_ends_the_rerun(tmp_path: Path, command: Command) -> None:
    """Whether it names a strategy or not: it is not that one's failure."""

    def register(live: Live | TickDispatcher) -> None:
        bus = live.commands if isinstance(live, TickDispatcher) else live.bus
        bus.register(type(command), lambda _: trader.buy(EURUSD, 3.0))

    live = Live(tmp_path)
    trader = live.trader
    register(live)
    first, recording = live.operated(lambda live: live.bus.execute(command))
    with pytest.raises(NoHandler, match=f"nobody handles {type(command).__name__}"):
        tickrail.backtest({"trader": Trader()}, recording, commands=bytes(live.commands))
    trader, again = Trader(), TickDispatcher([{"id": EURUSD}])
    again.register(trader, "trader")
    again.replay(recording)
    register(again)
    again.replay_commands(bytes(live.commands))
    again.run()
    result: Any = again.result()
    assert (len(result.orders), len(first.orders)) == (11, 11)


class Grow(Command):
    quantity: float


CALLED_BACK: dict[str, Callable[[Live], object]] = {
    "post": lambda live: live.bus.post(Grow(7.0)),
    "submit": lambda live: live.bus.submit(Grow(7.0)),
    "schedule": lambda live: live.bus.schedule_after(1_000, Grow(7.0)),
    "pause": lambda live: live.dispatcher.lives.pause("trader", mode="no_ticks"),
}
SENT: dict[str, Callable[[Live], Any]] = {
    "command": lambda live: live.bus.submit(Buy(0.0)),
    "key": lambda live: live.bus.submit(Buy(0.0), key="a"),
    "life": lambda live: live.dispatcher.lives.pause("trader", mode="no_new_orders"),
}


@pytest.mark.parametrize("sent", list(SENT))
@pytest.mark.parametrize("asks", list(CALLED_BACK))
def test_what_a_done_callback_of_another_thread_asks_for_is_recorded(tmp_path: Path, sent: str, asks: str) -> None:
    """The rerun has nobody who would be called back."""

    def register(bus: Any, trader: Trader) -> None:
        bus.register(Grow, lambda command: setattr(trader, "grown", command.quantity))
        bus.register(Buy, lambda command: None)

    def act(live: Live) -> None:
        done = threading.Event()

        def called_back(_: object) -> None:
            CALLED_BACK[asks](live)
            done.set()

        SENT[sent](live).add_done_callback(called_back)
        assert done.wait(LONG_S)

    live = Live(tmp_path)
    register(live.bus, live.trader)
    first, recording = live.operated(act)
    assert first.errors == ()
    again, trader = TickDispatcher([{"id": EURUSD}], config_digest=live.dispatcher._config_digest), Trader()
    again.register(trader, "trader")
    again.replay(recording)
    register(again.commands, trader)
    assert again.replay_commands(bytes(live.commands)) == 2
    again.run()
    result: Any = again.result()
    assert result.digest == first.digest
    assert trader.grown == live.trader.grown == (0.0 if asks == "pause" else 7.0)


def test_a_done_callback_of_another_thread_waits_for_nothing(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def called_back(live: Live) -> None:
        waits: list[Callable[[], object]] = [
            lambda: live.bus.execute(Buy(1.0)),
            lambda: live.bus.submit(Buy(1.0)).result(LONG_S),
            lambda: live.bus.post(Buy(1.0), wait_s=LONG_S),
        ]
        for wait in waits:
            with pytest.raises(WouldDeadlock) as caught:
                wait()
            refused.append(caught.value)

    added = threading.Event()  # else it might be called back here, where waiting is allowed

    def act(live: Live) -> None:
        receipt = live.bus.submit(Buy(1.0))
        receipt.add_done_callback(lambda _: called_back(live))
        added.set()
        receipt.result(LONG_S)

    live = Live(tmp_path)
    live.bus.register(Buy, lambda command: added.wait(LONG_S))
    live.operated(act)
    assert len(refused) == 3
    assert "cannot wait for Buy: it runs on the dispatch thread" in str(refused[0])
