"""What the dispatch loop means, without speed: one list of ticks, one step after the other, no caches."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

EVERY_KIND = frozenset({"QUOTE", "TRADE", "BAR", "GAP"})
KINDS = {"on_quote": frozenset({"QUOTE"}), "on_quote, on_bar": frozenset({"QUOTE", "BAR"})}  # all others: every kind
ALIVE = {"RUNNING", "PAUSED"}
TABLE = {("pause", "RUNNING"): "PAUSED", ("resume", "PAUSED"): "RUNNING"}
ALREADY = {("pause", "PAUSED"), ("resume", "RUNNING")}
LIVES = {"pause": ("pause", "no_new_orders"), "sleep": ("pause", "no_ticks"), "wake": ("resume", "no_new_orders")}
"""What a script calls the operations that a handler asks for of its own strategy."""


class Record(NamedTuple):
    """One tick: what a handler sees of it."""

    ts_event: int
    sequence: int
    instrument: str
    kind: str
    value: float


@dataclass(frozen=True)
class Spec:
    """One strategy: its form and what it registers with."""

    form: str
    instruments: tuple[str, ...]
    max_ticks: int = 4096
    window_ns: int = 0
    keep_every: int = 0  # the loop has nothing to do with it


class Action(NamedTuple):
    """One thing that a handler does; a script names them by (strategy, number of its call)."""

    what: str
    instrument: str = ""


Script = Mapping[tuple[int, int], Sequence[Action]]


class Model:
    """``ticks`` in their order, strategies by ``specs``; the last may be of the form "pull"."""

    def __init__(self, ticks: Sequence[Record], specs: Sequence[Spec], script: Script) -> None:
        self.ticks, self.specs, self.script, self.each = ticks, specs, script, range(len(specs))
        self.wanted = [set(spec.instruments) for spec in specs]
        self.states = ["INITIALISED" for _ in specs]
        self.calls, self.delivered, self.skipped = ([0 for _ in specs] for _ in range(3))
        self.batches: list[list[Record]] = [[] for _ in specs]
        self.window_ends = [math.inf for _ in specs]
        self.requests: list[tuple[int, Action]] = []
        self.asked: list[tuple[int, str, str]] = []
        self.modes = ["no_new_orders" for _ in specs]
        self.missed: list[dict[str, int] | None] = [None for _ in specs]  # by instrument, since a pause without ticks
        self.is_told = [False for _ in specs]  # whether ticks flow again, and gaps are told of
        self.now, self.position, self.inputs, self.updates = ticks[0].ts_event, 0, 0, 0
        self.is_interrupted = self.is_stopped = False
        self.end: str | None = None
        self.log: list[tuple[int, str, int, tuple[Record, ...]]] = []  # who, handler, clock, ticks
        self.errors: list[tuple[int, str, int, int, Record | None]] = []
        self.probes: list[tuple[int, int, int]] = []  # who, loop position, clock
        self.pulls = self.run()

    def run(self) -> Generator[Record]:
        """The whole run; yields where the pull strategy has a tick."""
        for one in self.each:
            if not self.is_halted:
                self.position += 1
                self.states[one] = "RUNNING"
                self.call(one, "on_start", ())
                self.apply()
        for tick in self.ticks:
            self.before(tick.ts_event)
            while not self.is_halted and (yield from self.gaps(tick)):
                self.before(tick.ts_event)
            if self.is_halted:
                break
            yield from self.step(tick)
        if not self.is_halted:
            self.before(self.now + 1)
            for one in self.each:
                self.flush(one)
            self.apply()
            self.before(self.now + 1)
        self.finish("interrupted" if self.is_interrupted else "stopped" if self.is_stopped else "end")

    @property
    def is_halted(self) -> bool:
        return self.is_interrupted or self.is_stopped

    def step(self, tick: Record) -> Iterator[Record]:
        self.position, self.now, self.inputs = self.position + 1, tick.ts_event, self.inputs + 1
        for one in self.each:
            form = self.specs[one].form
            if tick.instrument not in self.wanted[one] or tick.kind not in KINDS.get(form, EVERY_KIND):
                continue
            if not self.takes_ticks(one):
                self.skipped[one] += 1
                if (missed := self.missed[one]) is not None:
                    missed[tick.instrument] = missed.get(tick.instrument, 0) + 1
            elif form == "on_batch":
                self.collect(one, tick)
            else:
                self.delivered[one] += 1
                self.call(one, name_of(form, tick.kind), (tick,))
                if form == "pull":
                    yield tick
        self.apply()

    def takes_ticks(self, one: int) -> bool:
        return self.states[one] == "RUNNING" or (self.states[one] == "PAUSED" and self.modes[one] == "no_new_orders")

    def gaps(self, tick: Record) -> Generator[Record, None, bool]:
        """A record for each strategy that has missed ticks of this instrument, each in a step; whether one was."""
        told = False
        for one in self.each:
            missed, form = self.missed[one], self.specs[one].form
            if missed is None or not self.is_told[one] or tick.instrument not in self.wanted[one]:
                continue
            count = missed.pop(tick.instrument, 0)
            self.settle(one)
            if not count or form in KINDS or not self.takes_ticks(one):
                continue
            told, self.position = True, self.position + 1
            gap = Record(self.now, 0, tick.instrument, "GAP", 0.0)
            if form == "on_batch":
                self.batches[one].append(gap)
                if len(self.batches[one]) >= self.specs[one].max_ticks:
                    self.flush(one)
            else:
                self.call(one, form, (gap,))
                if form == "pull":
                    yield gap
            self.apply()
        return told

    def settle(self, one: int) -> None:
        if self.is_told[one] and not self.missed[one]:
            self.missed[one], self.is_told[one] = None, False

    def before(self, key: int) -> None:
        """What lives were asked, updates, each a step, then windows that ended by ``key``, oldest strategy first."""
        while not self.is_halted:
            if self.asked:
                self.operate(*self.asked.pop(0))
                continue
            self.position, self.updates = self.position + self.updates, 0
            ended = [one for one in self.each if self.window_ends[one] <= key]
            if not ended:
                break
            self.flush(ended[0])
            self.apply()

    def collect(self, one: int, tick: Record) -> None:
        spec, batch = self.specs[one], self.batches[one]
        if self.window_ends[one] == math.inf and spec.window_ns:
            self.window_ends[one] = (tick.ts_event // spec.window_ns + 1) * spec.window_ns
        batch.append(tick)
        if len(batch) >= spec.max_ticks:
            self.flush(one)

    def flush(self, one: int) -> None:
        if batch := self.batches[one]:
            self.batches[one], self.window_ends[one] = [], math.inf
            self.delivered[one] += sum(tick.kind != "GAP" for tick in batch)
            self.call(one, "on_batch", tuple(batch))

    def call(self, one: int, handler: str, ticks: tuple[Record, ...]) -> None:
        self.log.append((one, handler, self.now, ticks))
        number, self.calls[one] = self.calls[one], self.calls[one] + 1
        for action in self.script.get((one, number), ()):
            if action.what == "probe":
                self.probes.append((one, self.position, self.now))
            if action.what in {"subscribe", "unsubscribe", "probe", *LIVES}:
                held_back = action.what == "probe" and self.states[one] == "PAUSED"
                self.requests.append((one, Action("held back") if held_back else action))
            elif action.what == "stop":
                self.is_stopped = True
            elif ends(action.what, self.specs[one].form, handler):
                return self.leave(one, handler, ticks, action.what)
        return None

    def leave(self, one: int, handler: str, ticks: tuple[Record, ...], what: str) -> None:
        """Nothing after it is done: the handler raises, or the generator returns."""
        if what == "interrupt":
            self.is_interrupted = True
        elif what == "raise":
            self.states[one] = "FAILED"
            self.errors.append((one, handler, self.position, self.now, ticks[-1] if ticks else None))
            self.missed[one], self.is_told[one] = None, False
            self.asked = [asked for asked in self.asked if asked[0] != one]
            self.updates += sum(who == one and action.what in {"probe", "held back"} for who, action in self.requests)
            self.requests = [(who, action) for who, action in self.requests if who != one]
        else:
            self.call(one, "on_stop", ())
            if self.states[one] == "RUNNING":
                self.states[one] = "STOPPED"
                self.missed[one], self.is_told[one] = None, False

    def apply(self) -> None:
        """A probe is an order and its cancel: two updates; one where a paused strategy may not have the order."""
        requests, self.requests = self.requests, []
        for one, action in requests:
            if action.what == "subscribe":
                self.wanted[one].add(action.instrument)
            elif action.what == "unsubscribe":
                self.wanted[one].discard(action.instrument)
            elif action.what in LIVES:
                self.asked.append((one, *LIVES[action.what]))
            else:
                self.updates += 2 if action.what == "probe" else 1

    def operate(self, one: int, operation: str, mode: str = "no_new_orders") -> bool | None:
        """Between two steps; None: refused."""
        asked = (operation, self.states[one])
        if asked in TABLE or (asked == ("pause", "PAUSED") and mode != self.modes[one]):
            self.flush(one)
            if self.states[one] == asked[1]:
                self.move(one, operation, mode)
            self.apply()
        return True if asked in TABLE else False if asked in ALREADY else None

    def move(self, one: int, operation: str, mode: str) -> None:
        was, hook = self.states[one], f"on_{operation}"
        if operation == "resume":
            self.states[one] = "RUNNING"
        if TABLE.get((operation, was)):
            self.call(one, hook, ())
            if self.states[one] not in ALIVE:
                return
            self.apply()
        if operation == "pause":
            self.states[one], self.modes[one] = "PAUSED", mode
        if operation == "pause" and mode == "no_ticks":
            self.missed[one], self.is_told[one] = self.missed[one] or {}, False
        elif self.missed[one] is not None:
            self.is_told[one] = True
            self.settle(one)

    def break_off(self) -> None:
        """End the run from outside, wherever it stands."""
        self.pulls.close()
        self.finish("stopped")

    def finish(self, end: str) -> None:
        if self.end is None:
            self.end = end
            self.apply()
            for one in reversed(self.each):
                self.stop(one)

    def stop(self, one: int) -> None:
        if self.states[one] in ALIVE:
            self.position += 1
            self.flush(one)
            self.apply()
        if self.states[one] in ALIVE:
            self.call(one, "on_stop", ())
            self.apply()
        if self.states[one] != "FAILED":
            self.states[one] = "STOPPED"


def name_of(form: str, kind: str) -> str:
    return "on_bar" if form == "on_quote, on_bar" and kind == "BAR" else form.partition(",")[0]


def ends(what: str, form: str, handler: str) -> bool:
    """Whether ``what`` ends the call: a pull is no call of ours, only a generator's return means something, and when
    ``on_stop`` runs there is nothing left to interrupt."""
    if what == "return":
        return form == "ticks" and handler in ("on_start", "ticks")
    return handler != "pull" and (what == "raise" or (what == "interrupt" and handler != "on_stop"))
