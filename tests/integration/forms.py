"""One strategy in every form: averages per instrument, a position at each cross, a timer, order updates that count."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from tickrail import OrderUpdate, Strategy, Tick, TickArray, TickBatch, TimerEvent
from tickrail.domain.instruments import merge_tables
from tickrail.orchestration.backtest import PullStrategy
from tickrail.orchestration.tick_dispatcher import DigestMode, TickDispatcher
from tickrail.report.result import Result

FAST, SLOW = 2 / 21, 2 / 101
MINUTE_NS = 60_000_000_000
MOST_INSTRUMENTS = 8


class Crosses:
    """The decisions, as an object in Python: what each form asks, tick by tick."""

    def __init__(self) -> None:
        self.fast: dict[str, float] = {}
        self.slow: dict[str, float] = {}
        self.side: dict[str, bool] = {}
        self.size = 1.0

    def target(self, tick: Tick) -> float | None:
        name, mid = str(tick.instrument), (tick.bid + tick.ask) * 0.5
        if name not in self.fast:
            self.fast[name] = self.slow[name] = mid
        self.fast[name] += FAST * (mid - self.fast[name])
        self.slow[name] += SLOW * (mid - self.slow[name])
        above = self.fast[name] > self.slow[name]
        if above == self.side.get(name, False):
            return None
        self.side[name] = above
        return self.size if above else 0.0


class InPython(Strategy):
    """What all forms in Python share; the size grows with every fill and falls back at every timer."""

    interval_ns: int = MINUTE_NS

    def on_start(self) -> None:
        self.crosses = Crosses()
        self.schedule_every(self.interval_ns)

    def on_order_update(self, update: OrderUpdate) -> None:
        if update.status == "FILLED":
            self.crosses.size += 1.0

    def on_timer(self, event: TimerEvent) -> None:
        self.crosses.size = 1.0

    def take(self, tick: Tick) -> None:
        target = self.crosses.target(tick)
        if target is not None:
            self.target(tick.instrument, target)


class OnTick(InPython):
    def on_tick(self, tick: Tick) -> None:
        self.take(tick)


class OnQuote(InPython):
    def on_quote(self, tick: Tick) -> None:
        self.take(tick)


class OnBatch(InPython):
    def on_batch(self, batch: TickBatch) -> None:
        for index in range(len(batch)):
            self.take(batch[index])


class AGenerator(InPython):
    def ticks(self) -> Generator[None, Tick]:
        while True:
            self.take((yield))


class Pulled(PullStrategy):
    """Its owner acts between two pulls."""

    interval_ns: int = MINUTE_NS

    def on_start(self) -> None:
        super().on_start()
        self.crosses = Crosses()
        self.schedule_every(self.interval_ns)

    on_order_update = InPython.on_order_update  # type: ignore[assignment]
    on_timer = InPython.on_timer  # type: ignore[assignment]


STATE = np.dtype(
    [
        ("fast", "f8", MOST_INSTRUMENTS),
        ("slow", "f8", MOST_INSTRUMENTS),
        ("above", "u1", MOST_INSTRUMENTS),
        ("size", "f8"),
    ]
)


class Compiled(Strategy):
    interval_ns: int = MINUTE_NS

    state_dtype = STATE

    def on_start(self) -> None:
        self.state["size"] = 1.0
        self.schedule_every(self.interval_ns)

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        i = tick.instrument
        mid = (tick.bid + tick.ask) * 0.5
        if state.fast[i] == 0.0:
            state.fast[i] = mid
            state.slow[i] = mid
        state.fast[i] += FAST * (mid - state.fast[i])
        state.slow[i] += SLOW * (mid - state.slow[i])
        above = state.fast[i] > state.slow[i]
        if above != state.above[i]:
            state.above[i] = above
            out.target(i, state.size if above else 0.0)

    @staticmethod
    def on_order_update(update: Any, state: Any, out: Any) -> None:
        if update.status == 2:
            state.size += 1.0

    @staticmethod
    def on_timer(timer: Any, state: Any, out: Any) -> None:
        state.size = 1.0


BY_NAME: Mapping[str, type[Strategy]] = {
    "on_tick": OnTick,
    "on_quote": OnQuote,
    "on_batch": OnBatch,
    "generator": AGenerator,
    "compiled": Compiled,
}
FORMS = (*BY_NAME, "pull")


def run(
    form: str,
    feeds: Mapping[str, TickArray],
    *,
    digest: DigestMode = "full",
    interval_ns: int = MINUTE_NS,
    **settings: Any,
) -> Result:
    """A run of the strategy in ``form``, by batches of one where that is its form."""
    merged = merge_tables((name, array.instrument_table) for name, array in feeds.items())
    dispatcher = TickDispatcher(merged.values(), digest=digest, **settings)
    for name, array in feeds.items():
        dispatcher.feed(name, array)
    if form == "pull":
        strategy = Pulled(interval_ns=interval_ns)
        dispatcher.register_pull(strategy, "crosses")
        for tick in dispatcher.pulls():
            target = strategy.crosses.target(tick)
            if target is not None:
                strategy.target(tick.instrument, target)
    else:
        dispatcher.register(BY_NAME[form](interval_ns=interval_ns), "crosses", max_ticks=1)
        dispatcher.run()
    return dispatcher.result()
