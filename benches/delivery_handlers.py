"""The strategies of the table of delivery, beyond those of ``handlers``: one a form."""

from collections.abc import Generator, Iterator
from typing import Any

from benches.handlers import FAST, SLOW, CompiledEma
from tickrail import Strategy, Tick


class Ema(Strategy):
    """Two averages and their comparison; the handler of ``PlainEma``, without orders."""

    def on_start(self) -> None:
        self.x = self.y = 0.0
        self.is_long = False

    def on_tick(self, tick: Any) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        self.x = x = self.x + FAST * (mid - self.x) if self.x else mid
        self.y = y = self.y + SLOW * (mid - self.y) if self.y else mid
        if (x > y) is not self.is_long:
            self.is_long = x > y


class EmptyGenerator(Strategy):
    """Does nothing with a tick."""

    def ticks(self) -> Generator[None, Tick]:
        while True:
            yield


class EmaGenerator(Strategy):
    """``Ema`` with its state in local variables."""

    def ticks(self) -> Generator[None, Any]:
        x = y = 0.0
        is_long = False
        while True:
            tick = yield
            mid = (tick.bid + tick.ask) * 0.5
            x = x + FAST * (mid - x) if x else mid
            y = y + SLOW * (mid - y) if y else mid
            if (x > y) is not is_long:
                is_long = x > y


class KeepsOne(Strategy):
    """Keeps every tick until the next comes."""

    def on_tick(self, tick: Tick) -> None:
        self.last = tick


class PlainKeepsOne:
    """The same without tickrail."""

    def on_tick(self, tick: Any) -> None:
        self.last = tick


class EmptyBatch(Strategy):
    """Asks for the view of a batch, and does nothing with it."""

    def on_batch(self, batch: Any) -> None:
        batch.records  # noqa: B018


class CompiledEmaBatch(Strategy):
    """``CompiledEma`` by the batch."""

    state_dtype = CompiledEma.state_dtype

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        x, y, above = state.x, state.y, state.above
        if x == 0.0:
            x = (ticks[0].bid + ticks[0].ask) * 0.5
            y = x
        for tick in ticks:
            mid = (tick.bid + tick.ask) * 0.5
            x += FAST * (mid - x)
            y += SLOW * (mid - y)
            above += x > y
        state.x, state.y, state.above = x, y, above


class Raises(Strategy):
    """Fails at its first tick."""

    def on_tick(self, tick: Tick) -> None:
        raise ArithmeticError


def drain(pulls: Iterator[Any]) -> None:
    """Pull and do nothing."""
    for _ in pulls:
        pass


def ema(pulls: Iterator[Any]) -> None:
    """``Ema`` in the body of a pulled loop."""
    fast, slow = FAST, SLOW
    x = y = 0.0
    is_long = False
    for tick in pulls:
        mid = (tick.bid + tick.ask) * 0.5
        x = x + fast * (mid - x) if x else mid
        y = y + slow * (mid - y) if y else mid
        if (x > y) is not is_long:
            is_long = x > y
