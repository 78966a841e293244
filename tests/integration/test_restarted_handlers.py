"""What a strategy registers at the bus in ``on_start`` is its own: a restart takes it over, the dead hear nothing."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import tickrail
from tickrail.domain.commands import Command, Event, RestartStrategy
from tickrail.domain.supervision import Supervision
from tickrail.errors import DuplicateHandler
from tickrail.orchestration.tick_dispatcher import TickDispatcher

A = "EURUSD.SIM"


class Do(Command):
    text: str = ""


class Happened(Event):
    pass


class Registers(tickrail.Strategy):
    """Registers in ``on_start`` in the way ``how``, or at its first tick; at the third tick of each life it acts."""

    how: str
    world: Any

    def on_start(self) -> None:
        self.world.lives.append(weakref.ref(self))
        self.life, self.seen = len(self.world.lives), 0
        bus, life, world = self.world.bus, self.life, self.world
        if self.how == "method" or (self.how == "once" and life == 1):
            self.register()
        elif self.how == "lambda":
            bus.register(Do, lambda command: world.did.append((life, command.text)))
            bus.subscribe(Happened, lambda _: world.heard.append(life))
        elif self.how == "async first":
            bus.register(Do, self.later if life == 1 else self.do)
            bus.subscribe(Happened, self.hear)

    def register(self) -> None:
        self.world.bus.register(Do, self.do)
        self.world.bus.subscribe(Happened, self.hear)

    def do(self, command: Do) -> None:
        self.world.did.append((self.life, command.text))

    async def later(self, command: Do) -> None:
        self.world.did.append((self.life, command.text))

    def hear(self, _: Happened) -> None:
        self.world.heard.append(self.life)

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.seen == 1 and self.how == "at a tick":
            self.register()
        if self.seen == 3:
            self.world.act(self)


class World:
    def __init__(self, *, how: str, restarts: int, by_error: bool = False) -> None:
        self.lives: list[Any] = []
        self.did: list[tuple[int, str]] = []
        self.heard: list[int] = []
        self.left, self.by_error = restarts, by_error
        self.run = TickDispatcher([{"id": A}])
        self.run.feed("quotes", tickrail.data.generate_ticks(100))
        self.run.register(
            Registers(how=how, world=self),
            "one",
            renew=lambda: Registers(how=how, world=self),
            supervision=Supervision(on_error="restart", max_restarts=5, backoff_ns=1) if by_error else Supervision(),
        )
        self.bus = self.run.commands

    def act(self, strategy: Registers) -> None:
        self.bus.publish(Happened())
        if strategy.how == "async first" and strategy.life > 1:
            self.bus.execute(Do(f"of {strategy.life}"))  # of a coroutine it were refused to wait here
        else:
            self.bus.post(Do(f"of {strategy.life}"))
        if self.left:
            self.left -= 1
            if self.by_error:
                raise ValueError("again")
            self.bus.post(RestartStrategy("one"))


@pytest.mark.parametrize("by_error", [False, True])
@pytest.mark.parametrize("how", ["method", "lambda", "async first", "at a tick"])
def test_the_new_object_handles_and_hears_and_the_dead_one_does_no_more(how: str, by_error: bool) -> None:
    world = World(how=how, restarts=2, by_error=by_error)
    world.run.run()
    result = world.run.result()
    assert [one.message for one in result.errors] == (["again"] * 2 if by_error else []), result.errors
    assert world.heard == [1, 2, 3]
    assert world.did[-1] == (3, "of 3")
    assert len(world.did) == 3
    if by_error:  # whose traceback the result keeps
        return
    gc.collect()
    assert [ref() is None for ref in world.lives] == [True, True, False], "nothing keeps the dead"


@pytest.mark.parametrize("who", ["outside", "another strategy", "itself", "another strategy, unopposed"])
def test_a_handler_of_a_restarted_strategy_is_nobody_elses(who: str) -> None:
    who, _, unopposed = who.partition(", ")
    world = World(how="once" if unopposed else "method", restarts=1)
    refused: list[DuplicateHandler] = []

    class Other(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if tick.sequence >= 0 and not refused and len(world.lives) == 2:
                handler = {"outside": print, "another strategy": self.take, "itself": world.lives[1]().do}[who]
                try:
                    world.bus.register(Do, handler)
                except DuplicateHandler as error:
                    refused.append(error)

        def take(self, _: Do) -> None: ...

    world.run.register(Other(), "other")
    world.run.run()
    assert len(refused) == 1, world.run.result().errors
    assert refused[0].first != refused[0].second
    assert all(__file__ in place for place in (refused[0].first, refused[0].second))
