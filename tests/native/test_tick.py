"""The tick object: values by kind, stable when kept, equal by value."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import operator
import pickle
import weakref
from typing import Any

import pytest

from tickrail import _native

from .runs import EURUSD, Recorder, array, dispatcher, quotes

Tick = _native.Tick


def test_a_quote_has_its_values_and_names_its_kind_when_asked_for_others() -> None:
    quote = Tick.quote(5, EURUSD, 1.25, 1.5)
    assert (quote.bid, quote.ask, quote.mid, quote.spread, quote.kind) == (1.25, 1.5, 1.375, 0.25, "QUOTE")
    assert math.isnan(quote.bid_size)
    assert quote.flags == 1
    assert (quote.instrument, quote.instrument.symbol, quote.instrument.venue) == (EURUSD, "EURUSD", "SIM")
    for name in ("price", "size", "open", "high", "low", "close", "volume"):
        with pytest.raises(AttributeError, match=f"this tick is a QUOTE; it has bid, ask.* but no {name}"):
            getattr(quote, name)
        assert not hasattr(quote, name)


def test_trades_and_bars() -> None:
    trade = Tick.trade(5, EURUSD, 3.5, 2.0, "SELL")
    assert (trade.price, trade.size, trade.side, trade.kind) == (3.5, 2.0, "SELL", "TRADE")
    with pytest.raises(AttributeError, match="this tick is a TRADE; it has price, size and side, but no mid"):
        _ = trade.mid
    bar = Tick.bar(5, EURUSD, 1.0, 4.0, 0.5, 2.0, 100.0)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.sequence) == (1.0, 4.0, 0.5, 2.0, 100.0, 0)
    with pytest.raises(ValueError, match="expected BUY, SELL or NONE"):
        Tick.trade(5, EURUSD, 1.0, 1.0, "buy")


def test_equality_hash_order_copy_pickle() -> None:
    one, same, later = (Tick.quote(t, EURUSD, 1.0, 2.0) for t in (5, 5, 6))
    assert one == same
    assert hash(one) == hash(same)
    assert one != later
    assert one < later
    assert sorted([later, one]) == [one, later]
    assert one != Tick.quote(5, "GBPUSD.SIM", 1.0, 2.0)
    assert copy.copy(one) is one
    assert copy.deepcopy(one) is one
    restored = pickle.loads(pickle.dumps(one))
    assert restored == one
    assert restored.bid == 1.0
    assert {one: "a"}[restored] == "a"
    with pytest.raises(ValueError, match="record layout 99; this tickrail reads layout 1"):
        Tick._restore(99, bytes(64), one.instrument)
    with pytest.raises(ValueError, match="a pickled tick has 5 bytes: expected 64"):
        Tick._restore(_native.LAYOUT_VERSION, bytes(5), one.instrument)


def test_closed_to_writing_subclassing_and_weak_references() -> None:
    quote = Tick.quote(5, EURUSD, 1.0, 2.0)
    with pytest.raises(AttributeError):
        quote.bid = 3.0  # type: ignore[misc]
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (Tick,), {})
    assert not hasattr(quote, "__dict__")
    assert not hasattr(quote, "__weakref__")


@pytest.mark.parametrize("always_fresh", [False, True])
def test_kept_ticks_never_change(always_fresh: bool) -> None:
    times = range(1, 5001)
    recorder = Recorder()
    run = dispatcher(array(times), always_fresh=always_fresh)
    run.register(recorder, "recorder")
    run.run()
    assert [tick.ts_event for tick in recorder.kept] == list(times)
    assert [tick.bid for tick in recorder.kept] == [1.0 + t / 1000 for t in times]


@pytest.mark.parametrize("always_fresh", [False, True])
def test_kept_floats_previous_ticks_and_generator_frames_never_change(always_fresh: bool) -> None:
    class Keeps(_native.StrategyCore):
        def __init__(self) -> None:
            self.bids: list[float] = []
            self.pairs: list[tuple[_native.Tick, _native.Tick]] = []
            self.previous: _native.Tick | None = None
            self.frames: list[object] = []

        def on_quote(self, tick: _native.Tick) -> None:
            if tick.ts_event % 3 == 0:
                self.bids.append(tick.bid)
            if self.previous is not None and tick.ts_event % 7 == 0:
                self.pairs.append((self.previous, tick))
            self.previous = tick
            if tick.ts_event % 11 == 0:
                frame = (value for value in itertools.repeat(tick, 1))
                self.frames.append((tick.ts_event, frame))

    keeps = Keeps()
    run = dispatcher(array(range(1, 1001)), always_fresh=always_fresh)
    run.register(keeps, "keeps")
    assert run.run() == "end"
    assert not run.errors()
    assert keeps.bids == [1.0 + t / 1000 for t in range(3, 1001, 3)]
    assert all(old.ts_event + 1 == new.ts_event and old.bid < new.bid for old, new in keeps.pairs)
    assert all(next(frame).ts_event == at for at, frame in keeps.frames)  # type: ignore[call-overload, misc]


def test_instrument_ids() -> None:
    plain = _native.InstrumentId("BRK.B", "NYSE")
    assert (str(plain), plain.symbol, plain.venue) == ("BRK.B.NYSE", "BRK.B", "NYSE")
    assert plain == _native.InstrumentId("BRK.B.NYSE") == pickle.loads(pickle.dumps(plain))
    assert {"BRK.B.NYSE": 1}[plain] == 1  # type: ignore[index]
    for bad in ("EURUSD", ".SIM", "EURUSD.", "EUR USD.SIM", ""):
        with pytest.raises(ValueError, match=r"expected SYMBOL\.VENUE"):
            _native.InstrumentId(bad)


class Unhashed:
    """Compares with anything, as objects of other libraries do."""

    def __eq__(self, other: object) -> bool:
        return True


def test_equality_goes_by_bits_and_leaves_others_their_say() -> None:
    nan = Tick.quote(5, EURUSD, 1.0, 2.0)
    same = Tick.quote(5, EURUSD, 1.0, 2.0)
    assert math.isnan(nan.bid_size)
    assert nan == same, "not-a-number is equal to itself: sizes that nobody gave"
    assert {nan, same} == {nan}
    assert Tick.quote(5, EURUSD, 0.0, 2.0) != Tick.quote(5, EURUSD, -0.0, 2.0)
    assert nan == Unhashed()
    assert nan != 5
    assert nan is not None
    assert nan != None  # noqa: E711 - the comparison is what is tested
    with pytest.raises(TypeError):
        _ = nan < 5  # type: ignore[operator]


def test_order_is_by_time_then_sequence() -> None:
    rows = quotes([7, 7, 6])
    rows["sequence"] = [2, 1, 9]
    recorder = Recorder()
    run = dispatcher(_native.TickArray.from_records(rows[[2, 0, 1]], [EURUSD]))
    run.register(recorder, "recorder")
    run.run()
    assert [(tick.ts_event, tick.sequence) for tick in sorted(recorder.kept)] == [(6, 9), (7, 1), (7, 2)]
    assert recorder.kept[1] > recorder.kept[2]
    assert recorder.kept[1] >= recorder.kept[1]


def test_what_it_shows_of_itself() -> None:
    assert (
        repr(Tick.quote(5, EURUSD, 1.25, 1.5))
        == "Quote(EURUSD.SIM, ts_event=5, bid=1.25, ask=1.5, bid_size=NaN, ask_size=NaN)"
    )


@pytest.mark.parametrize("name", ["bid", "ts_event", "instrument", "kind", "anything"])
def test_nothing_of_it_can_be_set_or_deleted(name: str) -> None:
    quote = Tick.quote(5, EURUSD, 1.0, 2.0)
    with pytest.raises(AttributeError):
        setattr(quote, name, 1)
    with pytest.raises(AttributeError):
        delattr(quote, name)
    assert quote == Tick.quote(5, EURUSD, 1.0, 2.0)


def test_no_weak_reference() -> None:
    with pytest.raises(TypeError, match="weak reference"):
        weakref.ref(Tick.quote(5, EURUSD, 1.0, 2.0))


@pytest.mark.parametrize("always_fresh", [False, True])
def test_ticks_in_closures_tracebacks_keys_and_zips_never_change(always_fresh: bool) -> None:
    class Keeps(_native.StrategyCore):
        def __init__(self) -> None:
            self.closures: list[tuple[int, Any]] = []
            self.tracebacks: list[tuple[int, Any]] = []
            self.by_tick: dict[_native.Tick, int] = {}
            self.zips: list[Any] = []
            self.defaults: list[tuple[int, Any]] = []

        def on_tick(self, tick: _native.Tick) -> None:
            at = tick.ts_event
            match at % 5:
                case 0:
                    self.closures.append((at, lambda: tick))
                case 1:
                    try:
                        raise ValueError(tick)
                    except ValueError as error:
                        self.tracebacks.append((at, error.__traceback__))
                case 2:
                    self.by_tick[tick] = at
                case 3:
                    self.zips.append(zip([at], [tick], strict=True))
                case _:
                    self.defaults.append((at, functools.partial(operator.attrgetter("ts_event"), tick)))

    keeps = Keeps()
    run = dispatcher(array(range(1, 2_001)), always_fresh=always_fresh)
    run.register(keeps, "keeps")
    assert run.run() == "end"
    assert not run.errors()
    assert len(keeps.closures) == len(keeps.tracebacks) == len(keeps.by_tick) == len(keeps.zips) == 400
    assert all(kept().ts_event == at for at, kept in keeps.closures)
    assert all(traceback.tb_frame.f_locals["tick"].ts_event == at for at, traceback in keeps.tracebacks)
    assert all(kept.ts_event == at and keeps.by_tick[kept] == at for kept, at in keeps.by_tick.items())
    assert all(at == kept.ts_event for pairs in keeps.zips for at, kept in pairs)
    assert all(kept() == at for at, kept in keeps.defaults)
