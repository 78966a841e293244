"""Cases that run in one process with the yardstick: ticks to handlers, and the merge of feeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import tickrail
from benches import handlers
from benches.yardstick import Comparison, Work, interleave, loop

SEED = 7
BATCH_TICKS = 4_096  # what on_batch gets by default
PREBUILT_TICKS = 100_000  # as kept objects these take about 10 MB, so the yardstick reads memory as a real list would


@dataclass(frozen=True)
class Goal:
    """What the issue asks for: a ratio that must not be passed, or a rate that must be reached; never both."""

    most_ratio: float | None = None
    least_rate: float | None = None

    def verdict(self, comparison: Comparison) -> bool | None:
        """Whether it is met; ``None`` without a goal."""
        if self.most_ratio is not None:
            return comparison.ratio <= self.most_ratio
        if self.least_rate is not None:
            return 1e9 / comparison.case_ns >= self.least_rate
        return None

    def __str__(self) -> str:
        if self.most_ratio is not None:
            return f"ratio <= {self.most_ratio:g}"
        return "" if self.least_rate is None else f">= {self.least_rate / 1e6:g} M/s"


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    strategies: Callable[[], list[tickrail.Strategy]]
    plain: Callable[[], list[Any]]
    goal: Goal = Goal()
    feeds: int = 1
    ticks: int = 1_000_000

    def work(self, ticks: int | None = None) -> Work:
        """The run; what it returns is checked, so that nobody measures a run that failed."""
        count = ticks or self.ticks
        data = data_of(count, self.feeds)
        return Work(lambda: checked(run(self.strategies(), data), count), count)

    def yardstick(self) -> Work:
        """The plain loop over prebuilt ticks, with as many handlers as the case has strategies."""
        return Work(loop([plain.on_tick for plain in self.plain()], prebuilt()), PREBUILT_TICKS)

    def compare(self, *, rounds: int, ticks: int | None = None) -> Comparison:
        """Both in turn."""
        return interleave(self.work(ticks), self.yardstick(), rounds=rounds)


def counting(count: int) -> tuple[Callable[[], list[tickrail.Strategy]], Callable[[], list[Any]]]:
    """So many counting strategies, and as many plain ones."""
    return (
        lambda: [handlers.Counting() for _ in range(count)],
        lambda: [handlers.PlainCounting() for _ in range(count)],
    )


CASES = (
    Case("on_tick, empty", lambda: [handlers.Empty()], lambda: [handlers.PlainEmpty()]),
    Case("on_tick, counting", lambda: [handlers.Counting()], lambda: [handlers.PlainCounting()], Goal(most_ratio=1.3)),
    # 2.5 million ticks/s where the yardstick makes 6: the quotient is what a noisy machine cannot change.
    Case(
        "EMA cross with orders and fills",
        lambda: [handlers.EmaCross()],
        lambda: [handlers.PlainEma()],
        Goal(most_ratio=6 / 2.5),
    ),
    Case("compiled EMA", lambda: [handlers.CompiledEma()], lambda: [handlers.PlainEma()]),
    Case("compiled EMA cross with orders", lambda: [handlers.CompiledEmaCross()], lambda: [handlers.PlainEma()]),
    *(Case(f"fan-out to {count}", *counting(count)) for count in (1, 4, 10)),
    Case(
        f"on_batch of {BATCH_TICKS:,}",
        lambda: [handlers.BatchCounting()],
        lambda: [handlers.PlainCounting()],
        Goal(least_rate=100e6),
    ),
    # 640 MB, which no cache holds: here the rate is that of the machine's memory.
    Case(
        f"on_batch of {BATCH_TICKS:,}, 640 MB",
        lambda: [handlers.BatchCounting()],
        lambda: [handlers.PlainCounting()],
        ticks=10_000_000,
    ),
    *(
        Case(
            f"merge of {count} feed{'s' if count > 1 else ''}",
            lambda: [handlers.BatchCounting()],
            lambda: [handlers.PlainCounting()],
            Goal(least_rate=10e6 if count == 100 else None),
            feeds=count,
            ticks=5_000_000,
        )
        for count in (1, 10, 100)
    ),
)


def case(name: str) -> Case:
    """The case of that name."""
    return next(found for found in CASES if found.name == name)


def run(strategies: Sequence[tickrail.Strategy], data: Any) -> Any:
    """The one place that says how a run is made."""
    return tickrail.backtest(list(strategies), data, progress=None)


def checked(result: Any, ticks: int) -> Any:
    """``result``, if the run went to its end."""
    if result.errors or result.stats["ticks"] != ticks:
        raise RuntimeError(f"the run did not deliver {ticks:,} ticks: {result.stats}, {result.errors}")
    return result


@lru_cache(maxsize=2)
def data_of(ticks: int, feeds: int) -> Any:
    """Generated quotes; for several feeds dealt out in turn, so that every tick of the merge changes the feed."""
    whole = tickrail.data.generate_ticks(ticks, SEED)
    if feeds == 1:
        return whole
    records = whole.numpy()
    names = [f"S{number:03}.SIM" for number in range(feeds)]
    return {name: tickrail.TickArray.from_records(dealt(records, i, feeds), [name]) for i, name in enumerate(names)}


def dealt(records: Any, first: int, feeds: int) -> Any:
    """Every ``feeds``-th record from ``first`` on, as records of instrument 0."""
    part = records[first::feeds].copy()
    part["instrument"] = 0
    return part


@lru_cache(maxsize=1)
def prebuilt() -> list[Any]:
    """Tick objects for the yardstick: those that a strategy was given and kept."""
    keeper = handlers.Keeping()
    run([keeper], data_of(PREBUILT_TICKS, 1))
    assert len(keeper.kept) == PREBUILT_TICKS
    return keeper.kept
