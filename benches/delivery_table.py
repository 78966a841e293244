"""Delivery against its base: ``python -m benches.delivery_table [--json] [--quick] [--only WORD]``.

The base is a plain native loop over one re-used object (``rust/bench``); ``make bench-delivery`` builds it. Only the
run itself is timed, not how it is set up; data that a cache holds, base and case in turn, the median over the rounds.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

import tickrail
from benches import delivery_handlers, handlers, native_loop
from benches.delivery import SEED
from tickrail.orchestration.backtest import PullStrategy
from tickrail.orchestration.tick_dispatcher import DigestMode, TickDispatcher

TICKS = 16_384  # 1 MB, which the second cache holds
REPEATS = 8  # runs that make one figure
VIEW_TICKS = 1_024
SMALL_VIEW_TICKS = 64  # a view costs the same at any size; with many of them, it shows beside what ticks cost
RAISING = 100
WANTED_OF = 100
FULL_MAY_ADD_NS = 3.0
DIGESTS: tuple[DigestMode, DigestMode] = ("events", "full")

#: Sets a run up and returns what is timed.
Prepare = Callable[[DigestMode], Callable[[], object]]
Kind = Literal["ratio", "ns"]


@dataclass(frozen=True)
class Row:
    """One path; its goals are ratios to the base, or ``ns`` an item on the machine where they were set."""

    name: str
    prepare: Prepare
    base: Callable[[], object]
    goal: float
    short: float
    kind: Kind = "ratio"
    scale: Literal["empty", "ema"] = "empty"  # which handler the base has
    items: int = TICKS
    base_items: int = TICKS
    is_per_tick: bool = True
    less: Prepare | None = None  # timed as well, and taken off: what the items would cost anyway


@dataclass(frozen=True)
class Figure:
    """What was measured of one row in one digest mode."""

    name: str
    digest: DigestMode
    ns: float
    base_ns: float
    ratio: float
    low: float
    high: float
    goal: str
    verdict: str


def dispatcher_of(digest: DigestMode, data: dict[str, tickrail.TickArray]) -> TickDispatcher:
    table = {row["id"]: row for array in data.values() for row in array.instrument_table}
    made = TickDispatcher(table.values(), digest=digest)
    for name, array in data.items():
        made.feed(name, array)
    return made


def pushed(strategies: Callable[[], Sequence[tickrail.Strategy]], ticks: int = TICKS, **settings: Any) -> Prepare:
    """A run that calls handlers."""

    def prepare(digest: DigestMode) -> Callable[[], object]:
        run = dispatcher_of(digest, {"quotes": quotes(ticks)})
        for number, strategy in enumerate(strategies()):
            run.register(strategy, f"s{number}", **settings)
        return run.run

    return prepare


def pulled(body: Callable[[Iterator[Any]], None]) -> Prepare:
    """A run in the hands of a ``for`` loop."""

    def prepare(digest: DigestMode) -> Callable[[], object]:
        run = dispatcher_of(digest, {"quotes": quotes(TICKS)})
        run.register_pull(PullStrategy(), "pull")
        return lambda: body(run.pulls())

    return prepare


def one_of_many(digest: DigestMode) -> Callable[[], object]:
    """A handler that wants one of 100 instruments, all of which tick in turn."""
    run = dispatcher_of(digest, {"quotes": many_instruments()})
    run.register(handlers.Empty(), "s", instruments=["S000.SIM"])
    return run.run


def many_alone(digest: DigestMode) -> Callable[[], object]:
    """The ticks of that one instrument, without the others."""
    run = dispatcher_of(digest, {"quotes": one_instrument()})
    run.register(handlers.Empty(), "s", instruments=["S000.SIM"])
    return run.run


@lru_cache(maxsize=4)
def quotes(ticks: int) -> tickrail.TickArray:
    return tickrail.data.generate_ticks(ticks, SEED)


@lru_cache(maxsize=1)
def many_instruments() -> tickrail.TickArray:
    records = quotes(TICKS).numpy().copy()
    records["instrument"] = np.arange(len(records)) % WANTED_OF
    return tickrail.TickArray.from_records(records, [f"S{number:03}.SIM" for number in range(WANTED_OF)])


@lru_cache(maxsize=1)
def one_instrument() -> tickrail.TickArray:
    records = many_instruments().numpy()
    return tickrail.TickArray.from_records(records[records["instrument"] == 0].copy(), ["S000.SIM"])


def rows(loop: native_loop.BaseLoop) -> list[Row]:
    """The rows of the issue, in its order."""
    records = np.ascontiguousarray(quotes(TICKS).numpy()).view(np.uint8)

    def plain(*classes: type[Any]) -> Callable[[], object]:
        methods = [one().on_tick for one in classes]
        return lambda: loop(records, methods)

    empty, ema = plain(handlers.PlainEmpty), plain(handlers.PlainEma)
    unwanted = TICKS - len(one_instrument())
    return [
        Row("on_tick, empty", pushed(lambda: [handlers.Empty()]), empty, 1.0, 1.2),
        Row("on_tick, EMA", pushed(lambda: [delivery_handlers.Ema()]), ema, 0.90, 1.1, scale="ema"),
        Row(
            "fan-out to 4, per call",
            pushed(lambda: [handlers.Empty() for _ in range(4)]),
            plain(*[handlers.PlainEmpty] * 4),
            0.90,
            1.1,
            items=4 * TICKS,
            base_items=4 * TICKS,
        ),
        Row("generator, empty", pushed(lambda: [delivery_handlers.EmptyGenerator()]), empty, 0.75, 0.9),
        Row("generator, EMA", pushed(lambda: [delivery_handlers.EmaGenerator()]), ema, 0.70, 0.9, scale="ema"),
        Row("pull, empty", pulled(delivery_handlers.drain), empty, 0.40, 0.5),
        Row("pull, EMA", pulled(delivery_handlers.ema), ema, 0.62, 0.8, scale="ema"),
        Row(
            "tick kept every time",
            pushed(lambda: [delivery_handlers.KeepsOne()]),
            plain(delivery_handlers.PlainKeepsOne),
            3.0,
            4.0,
        ),
        Row(
            "batch, making the view",
            pushed(lambda: [delivery_handlers.EmptyBatch()], max_ticks=SMALL_VIEW_TICKS),
            empty,
            150,
            300,
            kind="ns",
            items=TICKS // SMALL_VIEW_TICKS - TICKS // VIEW_TICKS,
            less=pushed(lambda: [delivery_handlers.EmptyBatch()], max_ticks=VIEW_TICKS),
        ),
        # All ticks together take hardly longer than to start and end the run, which is taken off.
        Row(
            "compiled EMA, per tick",
            pushed(lambda: [handlers.CompiledEma()]),
            ema,
            8,
            12,
            kind="ns",
            scale="ema",
            less=pushed(lambda: [handlers.CompiledEma()], ticks=1),
        ),
        Row(
            "compiled EMA, per batch",
            pushed(lambda: [delivery_handlers.CompiledEmaBatch()]),
            ema,
            3.6,
            5,
            kind="ns",
            scale="ema",
            less=pushed(lambda: [delivery_handlers.CompiledEmaBatch()], ticks=1),
        ),
        Row(
            "raising handler, isolated",
            pushed(lambda: [delivery_handlers.Raises() for _ in range(RAISING)], ticks=1),
            empty,
            600,
            1_500,
            kind="ns",
            items=RAISING,
            is_per_tick=False,
            less=pushed(lambda: [handlers.Empty() for _ in range(RAISING)], ticks=1),  # to start and end them
        ),
        Row(
            f"unwanted tick, 1 of {WANTED_OF} instruments",
            one_of_many,
            empty,
            4,
            8,
            kind="ns",
            items=unwanted,
            less=many_alone,
        ),
        Row(
            "venue run EMA 20/100, Python",
            pushed(lambda: [handlers.EmaCross()]),
            ema,
            1e3 / 4.5,
            1e3 / 2.5,
            kind="ns",
            scale="ema",
        ),
        Row(
            "venue run EMA 20/100, compiled",
            pushed(lambda: [handlers.CompiledEmaCross()]),
            ema,
            1e3 / 60,
            1e3 / 30,
            kind="ns",
            scale="ema",
        ),
    ]


#: What the base takes where the goals were set, ns: those in nanoseconds and in rates are scaled by it.
SET_WITH_NS = {"empty": 33.0, "ema": 194.0}


def nanoseconds(work: Callable[[], object], items: int) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / items


def measure(row: Row, rounds: int) -> Iterator[Figure]:
    """Base and case in turn, with both digests; one round before does not count."""
    timed: dict[str, list[float]] = {"events": [], "full": [], "base": []}
    found: dict[str, float]
    gc.collect()
    gc.disable()
    try:
        for number in range(-1, rounds):
            found = {digest: one(row, digest) for digest in DIGESTS}
            found["base"] = sum(nanoseconds(row.base, row.base_items) for _ in range(REPEATS)) / REPEATS
            if number >= 0:
                for name, ns in found.items():
                    timed[name].append(ns)
    finally:
        gc.enable()
    base_ns = statistics.median(timed["base"])
    added = statistics.median(full - events for full, events in zip(timed["full"], timed["events"], strict=True))
    added *= row.items / TICKS
    for digest in DIGESTS if row.is_per_tick else DIGESTS[:1]:
        ratios = [case / base for case, base in zip(timed[digest], timed["base"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ns, ratio = statistics.median(timed[digest]), statistics.median(ratios)
        if digest == "events":
            goal, verdict = goal_of(row), verdict_of(row, ratio)
        else:
            goal, verdict = full_goal(row, added, base_ns)
        yield Figure(row.name, digest, ns, base_ns, ratio, low, high, goal, verdict)


def one(row: Row, digest: DigestMode) -> float:
    """Nanoseconds an item of the row, without what the items would cost anyway."""
    cases = sum(nanoseconds(row.prepare(digest), row.items) for _ in range(REPEATS))
    less = 0.0 if row.less is None else sum(nanoseconds(row.less(digest), row.items) for _ in range(REPEATS))
    return (cases - less) / REPEATS


def full_goal(row: Row, added: float, base_ns: float) -> tuple[str, str]:
    """What the full digest may add, on this machine, and whether it does not add more."""
    may_add = FULL_MAY_ADD_NS * base_ns / SET_WITH_NS[row.scale]
    return f"adds at most {may_add:.1f} ns a tick; it adds {added:.1f}", "met" if added <= may_add else "MISSED"


def goal_of(row: Row) -> str:
    if row.kind == "ratio":
        return f"ratio {row.goal:.2f}, at most {row.short:g}"
    set_with = SET_WITH_NS[row.scale]
    scaled = f"ratio {row.goal / set_with:.3f}, at most {row.short / set_with:.3f}"
    return f"{row.goal:.3g} ns where the base takes {set_with:g}: {scaled}"


def verdict_of(row: Row, ratio: float) -> str:
    set_with = 1.0 if row.kind == "ratio" else SET_WITH_NS[row.scale]
    return "met" if ratio <= row.goal / set_with else "short of the goal" if ratio <= row.short / set_with else "MISSED"


LINE = "| {:34} | {:6} | {:>10} | {:>9} | {:24} | {:66} | {:17} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 where a row falls short, 2 where the base is not built."""
    parser = argparse.ArgumentParser(prog="python -m benches.delivery_table", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first look, not a figure to quote")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name contains WORD")
    options = parser.parse_args(arguments)
    try:
        loop = native_loop.load()
    except native_loop.NotBuilt as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if tickrail._native.build_info()["profile"] != "release":
        print("warning: this is a debug build; `make build` makes the release build", file=sys.stderr)
    if not options.json:
        print(LINE.format("path", "digest", "ns", "base ns", "ratio to the base", "goal", "verdict"))
        print(LINE.format(*("---",) * 7))
    missed = False
    for row in rows(loop):
        if options.only not in row.name:
            continue
        for found in measure(row, 5 if options.quick else 31):
            missed |= found.verdict == "MISSED"
            ratio = f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"
            shown = (
                found.name,
                found.digest,
                f"{found.ns:,.1f}",
                f"{found.base_ns:,.1f}",
                ratio,
                found.goal,
                found.verdict,
            )
            print(json.dumps(asdict(found)) if options.json else LINE.format(*shown), flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
