"""What a step of a life costs, and a start of a hundred strategies: ``python -m benches.lifecycle``."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tickrail import Strategy, Tick
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.testing import boot, quotes

ROUNDS = 2_000
REPEATS = 7
STRATEGIES = 100
MODULE = """
from tickrail import Strategy


class Idle(Strategy):
    size: float = 1.0

    def on_tick(self, tick): ...
"""


class Toggles(Strategy):
    """Pauses itself on one tick and goes on at the next, with both hooks."""

    def on_tick(self, tick: Tick) -> None:
        if tick.ts_event % 2:
            self.pause()
        else:
            self.resume()

    def on_pause(self) -> None: ...

    def on_resume(self) -> None: ...


class Looks(Strategy):
    """The same without the change."""

    def on_tick(self, tick: Tick) -> None:
        if tick.ts_event % 2:
            self.now_ns  # noqa: B018  (a call into the core, as the other makes)
        else:
            self.now_ns  # noqa: B018


def run_ns(cls: type[Strategy]) -> float:
    """Per tick."""
    dispatcher = TickDispatcher([{"id": "EURUSD.SIM"}])
    dispatcher.feed("quotes", quotes(ROUNDS, start_ns=1, step_ns=1))
    dispatcher.register(cls(), "one")
    begun = time.perf_counter_ns()
    dispatcher.run()
    return (time.perf_counter_ns() - begun) / ROUNDS


def transition_ns() -> float:
    """One pause or resume with its hook, its event and whoever is told of it."""
    return run_ns(Toggles) - run_ns(Looks)


def boot_ms() -> float:
    """From configuration to a runtime that is ready, with a hundred strategies."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "idle_module.py").write_text(MODULE)
        tables = {f"s{number}": {"class": "idle_module:Idle"} for number in range(STRATEGIES)}
        begun = time.perf_counter_ns()
        with boot({"strategies": tables}, folder=Path(folder)):
            taken = time.perf_counter_ns() - begun
        sys.modules.pop("idle_module", None)
    return taken / 1e6


def median(measure: Callable[[], float]) -> float:
    """Of several, one after the other."""
    return statistics.median(measure() for _ in range(REPEATS))


if __name__ == "__main__":
    print(f"transition       {median(transition_ns):10.1f} ns  (promised: below 20,000)")
    print(f"boot, 100        {median(boot_ms):10.1f} ms  (promised: below 1,000)")
