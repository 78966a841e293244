"""``self.market_data``: what strategies of every form can look up, as of the present step and never later."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import OrderUpdate, Strategy, Tick, TickArray, TickBatch, TickDispatcher, TimerEvent, errors, testing
from tickrail._native import MarketData
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE
from tickrail.orchestration.backtest import PullStrategy
from tickrail.ports import MarketDataPort
from tickrail.testing.ticks import START_NS

A, B = "A.SIM", "B.SIM"
STEP = 1_000


def feeds(count: int = 400) -> dict[str, TickArray]:
    """No two ticks at one time: A at even steps, B at odd ones, with bars of B in between."""
    return {
        "a": testing.quotes(count, instrument=A, start_ns=START_NS, step_ns=2 * STEP),
        "b": testing.trades(count, instrument=B, start_ns=START_NS + STEP, step_ns=2 * STEP, seed=1),
        "bars": testing.bars(count // 10, instrument=B, start_ns=START_NS + STEP + 7, step_ns=20 * STEP, seed=2),
    }


class Oracle:
    """What the view must say at a time, from the data alone."""

    def __init__(self, arrays: Mapping[str, TickArray]) -> None:
        everything = sorted((tick for array in arrays.values() for tick in array), key=lambda tick: tick.ts_event)
        self.times = {name: [one.ts_event for one in everything if one.instrument == name] for name in (A, B)}
        self.bars = [one.ts_event for one in everything if one.kind == "BAR"]

    def seen(self, times: list[int], now_ns: int) -> list[int]:
        return times[: bisect_right(times, now_ns)]


ORACLE = Oracle(feeds())


class Looks(Strategy):
    """Compares the view with the oracle wherever it is called; what every form shares."""

    trades: bool = False

    def on_start(self) -> None:
        self.looks = 0
        self.by_handler: dict[str, int] = {}
        assert isinstance(self.market_data, MarketDataPort)
        assert self.market_data.latest_tick(A) is None
        assert self.market_data.latest_bar(B) is None
        self.schedule_every(7 * STEP + 3)

    def look(self, where: str) -> None:
        view, now_ns = self.market_data, self.now_ns
        self.looks += 1
        self.by_handler[where] = self.by_handler.get(where, 0) + 1
        for name in (A, B):
            expected = ORACLE.seen(ORACLE.times[name], now_ns)
            latest = view.latest_tick(name)
            assert (latest.ts_event if latest else None) == (expected[-1] if expected else None), (where, name)
            assert view.history(name, 5)["ts_event"].tolist() == expected[-5:], (where, name)
        bars = ORACLE.seen(ORACLE.bars, now_ns)
        bar = view.latest_bar(B)
        assert (bar.ts_event if bar else None) == (bars[-1] if bars else None)
        assert view.history(B, 3, kind="bar")["ts_event"].tolist() == bars[-3:]
        assert view.latest_bar(A) is None

    def trade(self) -> None:
        if self.trades and self.looks % 5 == 0:
            self.target(A, float(self.looks % 2))

    def on_timer(self, event: TimerEvent) -> None:
        self.look("on_timer")

    def on_order_update(self, update: OrderUpdate) -> None:
        self.look("on_order_update")

    def on_stop(self) -> None:
        self.look("on_stop")


class OnTick(Looks):
    def on_tick(self, tick: Tick) -> None:
        assert self.market_data.latest_tick(tick.instrument) == tick
        self.look("on_tick")
        self.trade()


class ByKind(Looks):
    def on_quote(self, tick: Tick) -> None:
        assert self.market_data.latest_tick(tick.instrument) == tick
        self.look("on_quote")
        self.trade()

    def on_bar(self, tick: Tick) -> None:
        assert self.market_data.latest_bar(tick.instrument) == tick
        self.look("on_bar")
        self.trade()


class AGenerator(Looks):
    def ticks(self) -> Generator[None, Tick]:
        while True:
            tick = yield
            assert self.market_data.latest_tick(tick.instrument) == tick
            self.look("ticks")
            self.trade()


class OnBatch(Looks):
    def on_batch(self, batch: TickBatch) -> None:
        last = batch[len(batch) - 1]
        assert last.ts_event <= self.now_ns
        assert self.market_data.latest_tick(last.instrument) == last
        self.look("on_batch")
        self.trade()


class Compiled(Looks):
    """Its handlers are machine code and look at nothing; its hooks do."""

    state_dtype = np.dtype([("count", "i8")])

    def on_start(self) -> None:
        self.looks, self.by_handler = 0, {}
        assert self.market_data.latest_tick(A) is None

    @staticmethod
    def on_tick(tick: Any, state: Any, out: Any) -> None:
        state.count += 1

    on_timer = None  # type: ignore[assignment]
    on_order_update = None  # type: ignore[assignment]


class Pulled(PullStrategy, Looks):
    def on_start(self) -> None:
        PullStrategy.on_start(self)
        Looks.on_start(self)

    on_timer = Looks.on_timer  # type: ignore[assignment]
    on_order_update = Looks.on_order_update  # type: ignore[assignment]


FORMS: dict[str, type[Looks]] = {
    "on_tick": OnTick,
    "by kind": ByKind,
    "generator": AGenerator,
    "on_batch": OnBatch,
    "compiled": Compiled,
    "pull": Pulled,
}


def dispatcher(**settings: Any) -> TickDispatcher:
    run = TickDispatcher([{"id": A, "currency": "EUR"}, {"id": B}], **settings)
    for name, array in feeds().items():
        run.feed(name, array)
    return run


def checked(run: TickDispatcher) -> Any:
    result = run.result()
    if result.errors:
        raise result.errors[0].exception
    return result


#: Only batches have edges.
EDGES = [*((form, 1) for form in FORMS), ("on_batch", 7), ("on_batch", 1_000)]


@pytest.mark.parametrize(("form", "max_ticks"), EDGES)
@pytest.mark.parametrize("subscribed", [[A], [B], None], ids=["a", "b", "all"])
def test_it_is_what_the_loop_has_taken_and_never_more(form: str, subscribed: list[str] | None, max_ticks: int) -> None:
    run, strategy = dispatcher(), FORMS[form](trades=form != "compiled")
    if form == "pull":
        run.register_pull(strategy, "looks", instruments=subscribed)
        for tick in run.pulls():
            assert strategy.market_data.latest_tick(tick.instrument) == tick
            strategy.look("pull")
            strategy.trade()
    else:
        run.register(strategy, "looks", instruments=subscribed, max_ticks=max_ticks)
        run.run()
    checked(run)
    assert strategy.looks > (0 if form == "compiled" else 50)
    if form != "compiled" and max_ticks == 1:
        assert set(strategy.by_handler) > {"on_timer", "on_order_update", "on_stop"}


@pytest.mark.parametrize("slice_ticks", [1, 3, 4_096])
def test_several_forms_in_one_run_see_the_same_at_any_slice_length(slice_ticks: int) -> None:
    run = dispatcher(slice_ticks=slice_ticks, always_fresh=True)
    strategies = {name: cls(trades=True) for name, cls in FORMS.items() if name not in ("compiled", "pull")}
    for number, (name, strategy) in enumerate(strategies.items()):
        run.register(strategy, name, instruments=[(A, B)[number % 2]], max_ticks=5)
    run.run()
    checked(run)
    assert all(strategy.looks > 50 for strategy in strategies.values())


def test_looking_changes_no_digest() -> None:
    class Deaf(OnTick):
        def look(self, where: str) -> None:
            self.looks += 1

    digests = []
    for cls in (OnTick, Deaf):
        run = dispatcher(digest="full")
        run.register(cls(trades=True), "one")
        run.run()
        digests.append(checked(run).digest)
    assert digests[0] == digests[1]


class Late(Strategy):
    """Comes to the view by a way that no method names."""

    def on_start(self) -> None:
        self.seen: list[int] = []

    def on_tick(self, tick: Tick) -> None:
        if len(self.seen) < 3:
            self.seen.append(len(getattr(self, "market" + "_data").history(A, 10)))


def test_who_does_not_name_it_knows_what_came_since_the_first_use() -> None:
    run, late = dispatcher(), Late()
    run.register(late, "late", instruments=[A])
    run.run()
    checked(run)
    assert late.seen == [0, 1, 2]


class Facts(Strategy):
    def on_start(self) -> None:
        view = self.market_data
        assert view is self.market_data
        assert view.instruments == (A, B)
        self.facts = view.instrument(A)
        assert view.instrument(A) is self.facts
        with pytest.raises(TypeError):
            self.facts["currency"] = "USD"  # type: ignore[index]
        for ask in (view.instrument, view.latest_tick, view.latest_bar, view.subscribe, view.unsubscribe):
            with pytest.raises(errors.DataError, match=r"the run has no instrument \"Z.SIM\""):
                ask("Z.SIM")
        with pytest.raises(errors.DataError, match="but 1024 of each instrument are kept") as caught:
            view.history(A, 1_025)
        assert caught.value.hint == "self.market_data.keep(1025) in on_start"
        with pytest.raises(errors.DataError, match="history of -1 records"):
            view.history(A, -1)
        with pytest.raises(ValueError, match="expected 'quote', 'trade', 'bar' or 'custom'"):
            view.history(A, 1, kind="gap")
        with pytest.raises(ValueError, match="from 1 to 1048576"):
            view.keep(0)
        view.keep(3_000)
        assert view.kept == 3_000

    def on_tick(self, tick: Tick) -> None:
        self.window = self.market_data.history(A, 3_000)

    def on_stop(self) -> None:
        self.quotes = self.market_data.history(A, 2, kind="quote")
        self.bars = self.market_data.history(B, 2, kind="BAR")


def test_facts_and_refusals_and_windows() -> None:
    run, facts = TickDispatcher([{"id": A, "currency": "EUR", "size_increment": 0.5}, {"id": B}]), Facts()
    run.feed("a", testing.quotes(5_000, instrument=A))
    run.feed("b", testing.bars(10, instrument=B))
    run.register(facts, "facts", instruments=[A])
    run.run()
    checked(run)
    assert facts.facts["currency"] == "EUR"
    assert (facts.facts["size_increment"], facts.facts["multiplier"]) == (0.5, 1.0)
    expected = testing.quotes(5_000, instrument=A).numpy()
    assert facts.window.tobytes() == expected[-3_000:].tobytes()
    assert (facts.quotes.dtype, facts.bars.dtype) == (QUOTE_DTYPE, BAR_DTYPE)
    assert facts.quotes["bid"].tolist() == expected["value_0"][-2:].tolist()
    assert facts.bars["ts_event"].tolist() == [tick.ts_event for tick in testing.bars(10, instrument=B)][-2:]
    assert not facts.window.flags.writeable


class Keeps(Strategy):
    """Keeps every tick that it looked up."""

    def on_start(self) -> None:
        self.kept: list[Tick] = []
        self.values: list[tuple[float, ...]] = []

    def on_quote(self, tick: Tick) -> None:
        found = self.market_data.latest_tick(A)
        assert found is not None
        self.kept.append(found)
        self.values.append(found.values)


def test_what_was_looked_up_and_kept_never_changes() -> None:
    strategy = Keeps()
    assert tickrail.backtest(strategy, testing.quotes(500, instrument=A, volatility=0.01)).ok
    assert [tick.values for tick in strategy.kept] == strategy.values
    assert len({tick.ts_event for tick in strategy.kept}) == 500


class Subscribes(Strategy):
    """Takes and leaves an instrument through the view."""

    def on_start(self) -> None:
        self.got: list[str] = []
        self.market_data.unsubscribe(B)

    def on_tick(self, tick: Tick) -> None:
        self.got.append(str(tick.instrument))
        if len(self.got) == 3:
            self.market_data.subscribe(B)
            self.market_data.unsubscribe(A)


def test_subscriptions_through_the_view() -> None:
    run, strategy = dispatcher(), Subscribes()
    run.register(strategy, "one")
    run.run()
    checked(run)
    assert strategy.got[:3] == [A] * 3
    assert set(strategy.got[3:]) == {B}


def test_it_belongs_to_the_dispatch_thread_and_the_run() -> None:
    with pytest.raises(errors.OrderRefused, match="belongs to no run yet"):
        OnTick().market_data  # noqa: B018
    raised: list[BaseException] = []

    class Elsewhere(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.view = self.market_data

            def look() -> None:
                try:
                    self.view.latest_tick(A)
                except errors.WrongThread as error:
                    raised.append(error)

            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            self.stop()

    strategy = Elsewhere()
    run = dispatcher()
    run.register(strategy, "one")
    run.run()
    checked(run)
    assert "this is not the run's dispatch thread" in str(raised[0])
    with pytest.raises(errors.WrongThread, match="the run is not going on"):
        strategy.view.latest_tick(A)


def test_in_a_live_run_feeds_tell_of_themselves_elsewhere() -> None:
    """GAP and STALE are told by their handlers, and leave the latest quote and the history as they are."""

    class Live(Strategy):
        def on_start(self) -> None:
            self.seen: list[tuple[str, str, list[int]]] = []

        def note(self, tick: Tick) -> None:
            latest = self.market_data.latest_tick(A)
            numbers = self.market_data.history(A, 10)["sequence"].tolist()
            self.seen.append((tick.kind, latest.kind if latest else "none", numbers))

        def on_quote(self, tick: Tick) -> None:
            self.note(tick)

        def on_gap(self, tick: Tick) -> None:
            self.note(tick)

        def on_stale(self, tick: Tick) -> None:
            self.note(tick)
            run.request_stop()

    strategy = Live()
    run = tickrail.open_live(strategy, [A])
    feed = run.feed("numbered", numbering="by_publisher", stale_after_ns=5_000_000)
    publisher = feed.publisher()
    for number in (1, 2, 5):
        publisher.publish_quote(A, 1.1, 1.2, sequence=number)
    result = run.run()
    assert not result.errors
    assert strategy.seen == [
        ("QUOTE", "QUOTE", [1]),
        ("QUOTE", "QUOTE", [1, 2]),
        ("GAP", "QUOTE", [1, 2]),
        ("QUOTE", "QUOTE", [1, 2, 5]),
        ("STALE", "QUOTE", [1, 2, 5]),
    ]


def test_a_new_object_after_a_restart_has_the_whole_view() -> None:
    seen: list[int] = []

    class Again(Strategy):
        def on_start(self) -> None:
            seen.append(len(self.market_data.history(A, 1_000)))

        def on_tick(self, tick: Tick) -> None:
            if len(seen) == 1 and len(self.market_data.history(A, 1_000)) == 10:
                self.restart()

    run = dispatcher()
    run.register(Again(), "again", instruments=[A], renew=Again)
    run.run()
    checked(run)
    assert seen == [0, 10]


def test_a_pulled_run_has_it_too() -> None:
    with tickrail.open_run(testing.quotes(10, instrument=A)) as run:
        lengths = [len(run.market_data.history(A, 100)) for _ in run]
    assert lengths == [0, *range(1, 10)]  # the first use was at the first tick


#: Most that a look may cost, ns: ten times what it takes on a quiet machine, as this one may be anything but.
MOST_NS = 2_000


@pytest.mark.parametrize(
    "look",
    [
        lambda view, at: view.latest_tick(at),
        lambda view, at: view.latest_bar(at),
        lambda view, at: view.instrument(at),
        lambda view, at: view.history(at, 20),
    ],
    ids=["latest_tick", "latest_bar", "instrument", "history"],
)
def test_a_look_costs_little(look: Callable[[MarketData, Any], object]) -> None:
    took: list[float] = []

    class Times(Strategy):
        def on_bar(self, tick: Tick) -> None:
            view, at = self.market_data, tick.instrument
            begun = time.perf_counter_ns()
            for _ in range(1_000):
                look(view, at)
            took.append((time.perf_counter_ns() - begun) / 1_000)

    assert tickrail.backtest(Times(), testing.bars(50, instrument=A)).ok
    assert min(took) < MOST_NS
