"""Ten million ticks leave nothing behind: no objects, no references, no memory."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from tickrail import _native

from .runs import EURUSD, dispatcher, quotes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TICKS = 10_000_000
EVENTS_PER_BLOCK = 100_000  # allocated blocks rise by less than one per so many events
MOST_GROWTH_KB = 8 * 1_024
ATTEMPTS = 3


class Reads:
    """What all forms do with a tick: read floats, integers and the instrument."""

    def __init__(self) -> None:
        self.total = 0.0
        self.last = 0

    def read(self, tick: _native.Tick) -> None:
        self.total += tick.bid + tick.ask_size
        if tick.instrument == EURUSD:
            self.last = tick.ts_event


class OnTick(Reads, _native.StrategyCore):
    def on_tick(self, tick: _native.Tick) -> None:
        self.read(tick)


class AGenerator(Reads, _native.StrategyCore):
    def ticks(self) -> Generator[None, _native.Tick]:
        while True:
            self.read((yield))


class Previous(Reads, _native.StrategyCore):
    """Keeps every tick until the next one."""

    previous: _native.Tick | None = None

    def on_quote(self, tick: _native.Tick) -> None:
        self.read(tick)
        self.previous = tick


class OnBatch(Reads, _native.StrategyCore):
    def on_batch(self, batch: _native.TickBatch) -> None:
        self.total += float(batch.records["value_0"][0]) + len(batch.quotes) + float(batch.column("ask")[-1])
        self.read(batch[0])


class Pulled(Reads, _native.StrategyCore):
    """Its ticks are pulled."""


FORMS = [OnTick, AGenerator, Previous, OnBatch, Pulled]


@pytest.fixture(scope="module")
def ticks() -> _native.TickArray:
    return _native.TickArray.from_records(quotes(np.arange(1, TICKS + 1)), [EURUSD])


def measured(run: _native.Dispatcher, strategy: Any) -> tuple[int, int]:
    """Blocks and resident kilobytes that the run of a strategy has taken when it ends."""
    pulls = iter(())
    if isinstance(strategy, Pulled):
        run.register_pull(strategy, "s")
        pulls = run.pulls()
        strategy.read(next(pulls))
    else:
        run.register(strategy, "s", max_ticks=256)
    gc.collect()
    resident, blocks = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sys.getallocatedblocks()
    if isinstance(strategy, Pulled):
        for tick in pulls:
            strategy.read(tick)
        del tick
    else:
        run.run()
    gc.collect()
    grown = sys.getallocatedblocks() - blocks
    return grown, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident


@pytest.mark.parametrize("form", FORMS)
def test_references_and_memory_are_flat(form: type[Any], ticks: _native.TickArray) -> None:
    measured(dispatcher(_native.TickArray.from_records(quotes(range(1, 1_000)), [EURUSD])), form())
    names = (ticks.instruments[0], None, "QUOTE")
    counts = [sys.getrefcount(name) for name in names]
    grown = [grows(form, ticks)]
    while grown[-1][0] >= TICKS // EVENTS_PER_BLOCK and len(grown) < ATTEMPTS:
        grown.append(grows(form, ticks))  # what grows once is a cache of somebody's; a leak grows each time
    blocks, kilobytes = grown[-1]
    assert blocks < TICKS // EVENTS_PER_BLOCK, f"objects are left behind: {grown}"
    assert kilobytes < MOST_GROWTH_KB
    assert all(abs(sys.getrefcount(name) - count) < 50 for name, count in zip(names, counts, strict=True))


def grows(form: type[Any], ticks: _native.TickArray) -> tuple[int, int]:
    strategy, run = form(), dispatcher(ticks)
    grown = measured(run, strategy)
    assert not run.errors()
    assert run.stats()["ticks"] == TICKS
    assert strategy.last > 0
    return grown
