"""The strategies that are measured, and the plain class that the EMA is compared with."""

from typing import Any

import numpy as np

from tickrail import Strategy, Tick

FAST, SLOW = 2 / 21, 2 / 101


class Empty(Strategy):
    """Does nothing with a tick."""

    def on_tick(self, tick: Tick) -> None:
        pass


class Counting(Strategy):
    """Counts."""

    n = 0

    def on_start(self) -> None:
        self.n = 0

    def on_tick(self, tick: Tick) -> None:
        self.n += 1


class EmaCross(Strategy):
    """Long while the fast average is above the slow one, else flat: with orders and fills."""

    def on_start(self) -> None:
        self.x = self.y = 0.0
        self.is_long = False

    def on_quote(self, tick: Tick) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        self.x = x = self.x + FAST * (mid - self.x) if self.x else mid
        self.y = y = self.y + SLOW * (mid - self.y) if self.y else mid
        if (x > y) is not self.is_long:
            self.is_long = x > y
            self.target(tick.instrument, 1.0 if self.is_long else 0.0)


class CompiledEma(Strategy):
    """The averages of ``EmaCross`` in machine code, without orders."""

    state_dtype = np.dtype([("x", "f8"), ("y", "f8"), ("above", "i8")])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        if state.x == 0.0:
            state.x = mid
            state.y = mid
        state.x += FAST * (mid - state.x)
        state.y += SLOW * (mid - state.y)
        state.above += state.x > state.y


class CompiledEmaCross(Strategy):
    """``EmaCross`` in machine code."""

    state_dtype = np.dtype([("x", "f8"), ("y", "f8"), ("is_long", "?")])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        if state.x == 0.0:
            state.x = mid
            state.y = mid
        state.x += FAST * (mid - state.x)
        state.y += SLOW * (mid - state.y)
        is_long = state.x > state.y
        if is_long != state.is_long:
            state.is_long = is_long
            out.target(tick.instrument, 1.0 if is_long else 0.0)


class BatchCounting(Strategy):
    """Counts by the batch."""

    def on_start(self) -> None:
        self.n = 0

    def on_batch(self, batch: Any) -> None:
        self.n += len(batch)


class Keeping(Strategy):
    """Keeps every tick: where the yardstick gets its prebuilt ones from."""

    def on_start(self) -> None:
        self.kept: list[Tick] = []

    def on_tick(self, tick: Tick) -> None:
        self.kept.append(tick)


class PlainEmpty:
    """``Empty`` without tickrail."""

    def on_tick(self, tick: Any) -> None:
        pass


class PlainCounting:
    """``Counting`` without tickrail."""

    def __init__(self) -> None:
        self.n = 0

    def on_tick(self, tick: Any) -> None:
        self.n += 1


class PlainEma:
    """The two averages of ``EmaCross`` and their comparison; no orders."""

    def __init__(self) -> None:
        self.x = self.y = 0.0
        self.is_long = False

    def on_tick(self, tick: Any) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        self.x = x = self.x + FAST * (mid - self.x) if self.x else mid
        self.y = y = self.y + SLOW * (mid - self.y) if self.y else mid
        if (x > y) is not self.is_long:
            self.is_long = x > y
