"""Orders, memory and the report: ``python -m benches.orders``. Cases take turns with a yardstick, in one process."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import tickrail
from tickrail import AccountTerms, Strategy, Tick

INSTRUMENT = "EURUSD.SIM"
TICKS = 500_000
RESTING = 1_000
SUBMISSIONS = 20_000
MANY_ORDERS = 80_000  # of more at one moment the loop takes the strategy to go round in circles
POINTS = 100_000
ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """What was measured, its goal, and what it is to be compared with."""

    name: str
    value: float
    unit: str
    goal: float
    yardstick: str
    yardstick_value: float

    @property
    def verdict(self) -> str:
        return "met" if self.value <= self.goal else "MISSED"


def quotes(count: int, *, wave: float = 0.0) -> tickrail.TickArray:
    """Quotes a second apart; with ``wave`` they go up and down by it."""
    records = np.zeros(count, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (1 + np.arange(count)) * 1_000_000_000
    mids = 100.0 + wave * np.sin(np.arange(count) / 50.0)
    records["value_0"], records["value_1"] = mids - 0.01, mids + 0.01
    records["value_2"] = records["value_3"] = 1e6
    return tickrail.TickArray.from_records(records, instruments=[{"id": INSTRUMENT, "currency": "USD"}])


class Rests(Strategy):
    """Orders far from the market, then batches of which it does nothing."""

    orders: int = 0

    def on_start(self) -> None:
        for number in range(self.orders):
            self.buy(INSTRUMENT, 1.0, limit=50.0 - number % 4_000 * 0.01)

    def on_batch(self, batch: tickrail.TickBatch) -> None: ...


class Asks(Strategy):
    """An order at every tick, and how long it takes until the venue's answer is there."""

    def on_start(self) -> None:
        self.begun = 0
        self.waits: list[int] = []

    def on_quote(self, tick: Tick) -> None:
        self.begun = time.perf_counter_ns()
        self.buy(tick.instrument, 1.0, limit=50.0)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        if update.status == "ACCEPTED":
            self.waits.append(time.perf_counter_ns() - self.begun)
            self.cancel(update.order)


class Turns(Strategy):
    """Changes its position at every tick."""

    def on_start(self) -> None:
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        self.target(tick.instrument, float(self.count % 2))


def tick_ns(orders: int) -> float:
    begun = time.perf_counter_ns()
    result = tickrail.backtest(Rests(orders=orders), FLAT)
    elapsed = time.perf_counter_ns() - begun
    assert len(result.orders) == orders
    assert not len(result.fills)
    return elapsed / TICKS


def resting() -> Figure:
    """What a tick costs with a thousand orders that wait for another price; the same run without orders beside it."""
    found = [(tick_ns(RESTING), tick_ns(0)) for _ in range(ROUNDS)]
    with_orders, without = (statistics.median(column) for column in zip(*found, strict=True))
    return Figure(f"a tick with {RESTING:,} resting orders", with_orders, "ns", 30.0, "without orders", without)


def submission() -> Figure:
    """From ``self.buy`` to ``on_order_update``, without what reading the clock takes; that beside it."""
    waits, clocks = [], []
    for _ in range(ROUNDS):
        asks = Asks()
        assert tickrail.backtest(asks, quotes(SUBMISSIONS)).ok
        waits.append(statistics.median(asks.waits))
        clocks.append(statistics.median(-(time.perf_counter_ns() - time.perf_counter_ns()) for _ in range(SUBMISSIONS)))
    return Figure(
        "order to its acknowledgement, simulated venue",
        statistics.median(waits) - statistics.median(clocks),
        "ns",
        1_500.0,
        "the clock alone",
        statistics.median(clocks),
    )


class Looks(Strategy):
    """Buys, and looks at its portfolio in each way many times; ``took`` is ns a look, with the loop and the call."""

    def on_start(self) -> None:
        self.took: dict[str, float] = {}
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        if self.count == 1:
            self.buy(tick.instrument, 1.0)
        if self.count == 10:
            portfolio, instrument = self.portfolio, tick.instrument
            ways: dict[str, Callable[[], object]] = {
                "nothing": lambda: None,
                "position": lambda: portfolio.position(instrument),
                "own position": lambda: self.position(instrument),
                "equity": lambda: portfolio.equity,
                "exposure": lambda: portfolio.exposure,
                "buying power": lambda: portfolio.buying_power,
                "drawdown": lambda: portfolio.drawdown,
            }
            for name, look in ways.items():
                begun = time.perf_counter_ns()
                for _ in range(SUBMISSIONS):
                    look()
                self.took[name] = (time.perf_counter_ns() - begun) / SUBMISSIONS


def query() -> Figure:
    """The slowest way to look at the portfolio, without the call around it; that beside it."""
    found: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        looks = Looks()
        assert tickrail.backtest(looks, quotes(12), account=AccountTerms(capital=1_000.0)).ok
        found.append(looks.took)
    medians = {name: statistics.median(took[name] for took in found) for name in found[0]}
    empty = medians.pop("nothing")
    slowest = max(medians, key=lambda name: medians[name])
    return Figure(f"a look at the portfolio: {slowest}", medians[slowest] - empty, "ns", 200.0, "an empty call", empty)


def resident_bytes() -> int:
    """Anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


def memory() -> Figure:
    """What an order takes while the run holds it: the process has grown by at its end."""
    run = tickrail.TickDispatcher(FLAT.instrument_table)
    run.feed("quotes", quotes(2))
    run.register(Rests(orders=MANY_ORDERS), "rests")
    gc.collect()
    before = resident_bytes()
    run.run()
    grown = resident_bytes() - before
    assert len(run._native.orders()) == MANY_ORDERS
    return Figure(
        f"memory an order, {MANY_ORDERS:,} of them",
        grown / MANY_ORDERS,
        "bytes",
        300.0,
        "a record of its table",
        float(run._native.orders().dtype.itemsize),
    )


def page() -> Figure:
    """The report of a run whose curve has 100,000 points."""
    result = tickrail.backtest(Turns(), quotes(POINTS, wave=1.0), account=AccountTerms(capital=1_000.0))
    points = len(result.curve())
    assert points >= POINTS, points
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            file = result.report(Path(folder) / "report.html")
            seconds.append(time.perf_counter() - begun)
        size = file.stat().st_size
    return Figure(f"report of {points:,} points", statistics.median(seconds), "s", 0.5, "its size, kB", size / 1e3)


FLAT = quotes(TICKS)
#: Memory first: what other cases have given back would be taken again, and nothing would seem to grow.
CASES: tuple[Callable[[], Figure], ...] = (memory, resting, submission, query, page)


def figures(word: str = "") -> Iterator[Figure]:
    """One after the other, those whose function's name has ``word`` in it."""
    yield from (case() for case in CASES if word in case.__name__)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.orders", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    parser.add_argument("--only", default="", metavar="WORD", help="resting, submission, query, memory or page")
    chosen = parser.parse_args(arguments)
    missed = False
    if not chosen.json:
        print("| figure | here | goal, at most | beside it | verdict |\n| --- | ---: | ---: | --- | --- |")
    for one in figures(chosen.only):
        missed |= one.verdict != "met"
        if chosen.json:
            print(json.dumps({**asdict(one), "verdict": one.verdict}))
            continue
        beside = f"{one.yardstick}: {one.yardstick_value:,.4g}"
        print(f"| {one.name} | {one.value:,.4g} {one.unit} | {one.goal:,.4g} | {beside} | {one.verdict} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
