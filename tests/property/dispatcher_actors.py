"""The same strategies for the native dispatcher: one class a form, each doing what the script says for its call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from dispatcher_model import Action, Record, Script, Spec, ends

from tickrail import _native

Entry = tuple[int, str, int, tuple[Record, ...]]


class Planned(Exception):
    """What a script lets a handler raise."""


class Actor(_native.StrategyCore):
    """Writes down each call, keeps some ticks, and does what the script says."""

    def __init__(
        self, number: int, spec: Spec, script: Script, log: list[Entry], request_stop: Callable[[], None]
    ) -> None:
        self.number, self.spec, self.script, self.log, self.request_stop = number, spec, script, log, request_stop
        self.calls = self.seen = 0
        self.kept: list[tuple[Record, _native.Tick]] = []

    def on_start(self) -> None:
        self.act("on_start", ())

    def on_stop(self) -> None:
        self.act("on_stop", ())

    def on_pause(self) -> None:
        self.act("on_pause", ())

    def on_resume(self) -> None:
        self.act("on_resume", ())

    def act(self, handler: str, ticks: Sequence[_native.Tick]) -> bool:
        """True: the generator returns."""
        records = tuple(record_of(tick) for tick in ticks)
        self.log.append((self.number, handler, self.now_ns, records))
        number, self.calls = self.calls, self.calls + 1
        self.keep(ticks, records)
        return any(self.do(action, handler) for action in self.script.get((self.number, number), ()))

    def keep(self, ticks: Sequence[_native.Tick], records: Sequence[Record]) -> None:
        for tick, record in zip(ticks, records, strict=True):
            self.seen += 1
            if self.spec.keep_every and self.seen % self.spec.keep_every == 0:
                self.kept.append((record, tick))

    def do(self, action: Action, handler: str) -> bool:
        match action.what:
            case "subscribe":
                self.subscribe(action.instrument)
            case "unsubscribe":
                self.unsubscribe(action.instrument)
            case "probe":
                self.cancel(self.buy(action.instrument, 1.0))
            case "pause":
                self.pause()
            case "sleep":
                self.pause(mode="no_ticks")
            case "wake":
                self.resume()
            case "stop":
                self.request_stop()
            case _ if ends(action.what, self.spec.form, handler):
                return self.leave(action.what, handler)
        return False

    def leave(self, what: str, handler: str) -> bool:
        if what == "raise":
            raise Planned(handler)
        if what == "interrupt":
            raise KeyboardInterrupt
        return True


class OnTick(Actor):
    def on_tick(self, tick: _native.Tick) -> None:
        self.act("on_tick", (tick,))


class OnQuote(Actor):
    def on_quote(self, tick: _native.Tick) -> None:
        self.act("on_quote", (tick,))


class OnQuoteOnBar(OnQuote):
    def on_bar(self, tick: _native.Tick) -> None:
        self.act("on_bar", (tick,))


class OnBatch(Actor):
    def on_batch(self, batch: _native.TickBatch) -> None:
        ticks = [batch[index] for index in range(len(batch))]
        assert batch.records["ts_event"].tolist() == [tick.ts_event for tick in ticks]
        self.act("on_batch", ticks)


class Ticks(Actor):
    """Its first call is that of the generator up to its first ``yield``, which counts as the start."""

    def on_start(self) -> None:
        pass

    def ticks(self) -> Generator[None, _native.Tick]:
        returns = self.act("on_start", ())
        while not returns:
            returns = self.act("ticks", ((yield),))


FORMS: dict[str, type[Actor]] = {
    "on_tick": OnTick,
    "on_quote": OnQuote,
    "on_quote, on_bar": OnQuoteOnBar,
    "on_batch": OnBatch,
    "ticks": Ticks,
    "pull": Actor,
}


def record_of(tick: _native.Tick) -> Record:
    return Record(tick.ts_event, tick.sequence, str(tick.instrument), tick.kind, tick.values[0])
