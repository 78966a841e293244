"""Live runs from Python: publishing in every form, order, ends, records of gaps and silence, recordings."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_runs import LONG_S, A, B, Keeper, in_thread, opened, quotes, run_with

import tickrail
from tickrail import errors
from tickrail._native import Recording
from tickrail.domain.ticks import TICK_DTYPE
from tickrail.orchestration.tick_dispatcher import TickDispatcher


def test_one_record_and_many_in_every_form_arrive() -> None:
    run, keeper = opened()
    publisher = run.feed("f").publisher()
    publisher.publish_quote(A, 1.0, 1.1, ts_event=5, sequence=1)
    publisher.publish_trade(tickrail.InstrumentId("B.SIM"), 1.0, 2.0, "SELL", sequence=2)
    publisher.publish_bar(B, 1.0, 2.0, 0.5, 1.5, 10.0, ts_event=7)
    publisher.publish(quotes([3, 4], instrument=1))
    publisher.publish(tickrail.TickArray.from_records(quotes([5]), [B]))
    publisher.publish({"ts_event": [1], "bid": [1.0], "ask": [2.0], "sequence": [6]}, instrument=B)
    publisher.publish({"ts_event": [1, 2], "price": [1.0, 2.0], "instrument": [A, B], "side": ["BUY", "NONE"]})
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"ts_event": [1], "bid": [1.0], "ask": [2.0], "sequence": [7], "instrument": [B]})
    publisher.publish(table)
    publisher.close()
    run.seal()
    result = run.run()
    expected = [("QUOTE", A, 1), ("TRADE", B, 2), ("BAR", B, 0), ("QUOTE", B, 3), ("QUOTE", B, 4), ("QUOTE", B, 5)]
    expected += [("QUOTE", B, 6), ("TRADE", A, 0), ("TRADE", B, 0), ("QUOTE", B, 7)]
    assert keeper.seen == expected
    assert (result.status, result.ticks) == ("complete", len(expected))


def test_records_are_stamped_when_they_come_and_a_tick_can_be_passed_on() -> None:
    seen: list[tickrail.Tick] = []

    class Passer(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            seen.append(tick)
            if len(seen) == 1:
                onward.publish(tick)
                onward.close()

    before = time.time_ns()
    run, _ = opened(Passer())
    onward = run.feed("onward").publisher()
    with run.feed("f").publisher() as publisher:
        publisher.publish_quote(A, 1.0, 1.5, ts_event=5)
    run.seal()
    run.run()
    first, second = seen
    assert (first.ts_event, second.ts_event, second.bid) == (5, 5, 1.0)  # type: ignore[attr-defined]
    assert before <= first.ts_init <= second.ts_init


def test_instruments_are_told_apart_however_they_are_named() -> None:
    """What a publisher remembers of objects it was given: those that are gone must not lend their place to others."""
    names = [f"I{number}.SIM" for number in range(200)]
    keeper = Keeper()
    run = tickrail.open_live(keeper, names)
    with run.feed("f").publisher() as publisher:
        expected = []
        for turn in range(3):
            for number, name in enumerate(names):
                again = "".join(name)  # a new object each time
                publisher.publish_quote(tickrail.InstrumentId(name) if turn == 1 else again, 1.0, 1.1, sequence=number)
                expected.append((name, number))
        for name in ("I0.OTHER", "NONE"):
            with pytest.raises(errors.PublishError, match="the run has no instrument"):
                publisher.publish_quote(name, 1.0, 1.1)
    run.seal()
    run.run()
    assert [(name, number) for _, name, number in keeper.seen] == expected


def test_batches_of_all_shapes_arrive_once_and_in_order() -> None:
    """Over pieces, turns with the GIL and slots that are in the way: mixed kinds, instruments and bad records."""
    count = 40_000
    records = quotes(range(count))
    records["instrument"] = np.arange(count) % 2
    sizeless, bad = np.arange(count) % 7 == 3, np.arange(count) % 1_000 == 999
    records["ask_size"][sizeless] = np.nan
    records["flags"][sizeless] = 1
    records["bid"][bad] = np.nan
    run, keeper = opened()

    def produce() -> None:
        with run.feed("f", capacity=1_024).publisher() as publisher:
            publisher.publish(records)
        run.seal()

    join = in_thread(produce)
    run.run()
    join()
    assert keeper.sequences() == [number for number in range(count) if number % 1_000 != 999]
    account = run.accounts().feeds["f"]
    assert (account.rejected, account.taken) == (count // 1_000, count - count // 1_000)


def test_each_publisher_keeps_its_order_and_the_clock_never_runs_backwards() -> None:
    times: list[int] = []

    class Clocked(Keeper):
        def on_tick(self, tick: tickrail.Tick) -> None:
            super().on_tick(tick)
            times.append(self.now_ns)

    run, keeper = opened(Clocked())
    feeds = [run.feed(name, capacity=64, timeout_s=LONG_S) for name in ("a", "b")]

    def produce(number: int) -> None:
        with feeds[number].publisher() as publisher:
            for start in range(0, 6_000, 100):
                publisher.publish(quotes(range(start, start + 100), number))

    publishing = threading.Barrier(2)

    def in_step(number: int) -> None:
        publishing.wait(LONG_S)
        produce(number)

    result = run_with(run, lambda: in_step(0), lambda: in_step(1))
    assert keeper.sequences(A) == keeper.sequences(B) == list(range(6_000))
    assert times == sorted(times)
    assert result.status == "complete"


@pytest.mark.parametrize("wait", ["spin_then_park", "park", "yield", "spin", "spin_held"])
def test_every_way_of_waiting_sees_what_comes_late(wait: Any) -> None:
    run, keeper = opened(wait=wait)
    publisher = run.feed("f").publisher()

    def late() -> None:
        for number in range(3):
            time.sleep(0.01)
            publisher.publish_quote(A, 1.0, 1.1, sequence=number)
        publisher.close()

    run_with(run, late)
    assert keeper.sequences() == [0, 1, 2]


def test_a_wrong_thread_is_told_and_a_publisher_can_be_handed_over() -> None:
    run, _ = opened()
    publisher = run.feed("f").publisher()
    publisher.publish_quote(A, 1.0, 1.1)
    with pytest.raises(errors.WrongThread):
        in_thread(lambda: publisher.publish_quote(A, 1.0, 1.1))()
    publisher.release()
    taken, done = threading.Event(), threading.Event()

    def other() -> None:
        publisher.publish_quote(A, 1.0, 1.1)
        taken.set()
        done.wait(LONG_S)

    join = in_thread(other)
    assert taken.wait(LONG_S)
    with pytest.raises(errors.WrongThread):
        publisher.publish(quotes([1]))
    publisher.close()
    done.set()
    join()
    run.seal()
    assert run.run().ticks == 2


def test_the_io_thread_does_not_wait_for_the_step_of_a_life_but_may_await_it() -> None:
    run, _ = opened()
    dispatcher, publisher = run._dispatcher, run.feed("f").publisher()
    tried = threading.Event()

    async def stop() -> Any:
        receipt = dispatcher.lives.stop(next(iter(dispatcher.strategies)))
        for wait in (receipt.result, receipt.exception):
            with pytest.raises(errors.WouldDeadlock, match="the I/O thread must not wait") as caught:
                wait(LONG_S)
            assert "await" in str(caught.value.hint)
        tried.set()
        return await asyncio.wrap_future(receipt)

    asked = dispatcher.io.run(stop())
    tried.wait(LONG_S)  # the loop does not go on before: what is done already is waited for nowhere
    run_with(run, lambda: (asked.result(LONG_S), publisher.close()))
    assert asked.result(0).name == "STOPPED"


def test_what_cannot_be_taken_says_how_much_was() -> None:
    run, _ = opened()
    full = run.feed("full", policy="reject", capacity=4).publisher()
    with pytest.raises(errors.RingFull) as full_error:
        full.publish(quotes(range(1_000)))
    assert (full_error.value.taken, full_error.value.offered) == (4, 1_000)
    patient = run.feed("patient", capacity=4, timeout_s=0.02).publisher()
    with pytest.raises(errors.PublishTimeout) as late_error:
        patient.publish(quotes(range(600)))
    assert isinstance(late_error.value, TimeoutError)
    assert (late_error.value.taken, late_error.value.offered) == (4, 600)
    run.close()
    with pytest.raises(errors.FeedClosed) as closed_error:
        patient.publish_quote(A, 1.0, 1.1)
    assert (closed_error.value.taken, closed_error.value.offered) == (0, 1)
    assert run.run().ticks == 8


def test_a_stop_lets_go_of_publishers_that_wait() -> None:
    class Stopper(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if tick.sequence == 10:
                run.request_stop()

    run, _ = opened(Stopper())
    feed = run.feed("f", capacity=4, timeout_s=LONG_S)

    def produce() -> None:
        with feed.publisher() as publisher, pytest.raises(errors.FeedClosed):
            publisher.publish(quotes(range(100_000)))

    async def produce_async() -> None:
        with feed.publisher() as publisher, pytest.raises(errors.FeedClosed):
            await publisher.publish_async(quotes(range(1_000, 100_000)))

    result = run_with(run, produce, lambda: asyncio.run(produce_async()))
    assert result.status == "stopped"
    with pytest.raises(errors.FeedClosed):
        feed.publisher()
    with pytest.raises(errors.FeedClosed):
        run.feed("later")


def test_a_coroutine_waits_for_slots_without_keeping_its_loop() -> None:
    gate = threading.Event()

    class Slow(Keeper):
        def on_tick(self, tick: tickrail.Tick) -> None:
            gate.wait(LONG_S)
            super().on_tick(tick)

    run, keeper = opened(Slow())
    feed = run.feed("f", capacity=4, timeout_s=LONG_S)
    beats = 0

    async def main() -> None:
        nonlocal beats
        with feed.publisher() as publisher:
            batch = asyncio.ensure_future(publisher.publish_async(quotes(range(100))))
            single = asyncio.ensure_future(publisher.publish_quote_async(A, 1.0, 1.1, sequence=100))
            trade = asyncio.ensure_future(publisher.publish_trade_async(A, 1.0, sequence=101))
            while beats < 20:
                await asyncio.sleep(0.001)
                beats += 1
            assert not batch.done()
            gate.set()
            await asyncio.gather(batch, single, trade)

    run_with(run, lambda: asyncio.run(main()))
    assert keeper.sequences() == list(range(102))
    assert beats == 20


def test_a_cancelled_wait_gives_up_what_is_not_in() -> None:
    run, keeper = opened()
    feed = run.feed("f", capacity=4, timeout_s=LONG_S)

    async def main() -> None:
        publisher = feed.publisher()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(publisher.publish_async(quotes(range(10))), 0.05)
        publisher.close()

    asyncio.run(main())
    run.seal()
    run.run()
    assert keeper.sequences() == [0, 1, 2, 3]


def test_gaps_reconnections_and_silence_come_in_their_place() -> None:
    class Told(Keeper):
        def on_start(self) -> None:
            super().on_start()
            self.gaps: list[tuple[float, ...]] = []

        def on_gap(self, tick: tickrail.Tick) -> None:
            self.gaps.append(tick.values)
            self.on_tick(tick)

        def on_stale(self, tick: tickrail.Tick) -> None:
            self.on_tick(tick)
            assert tick.values[0] >= 1_000_000
            publisher.close()

    run, told = opened(Told())
    feed = run.feed("f", numbering="by_publisher", stale_after_ns=1_000_000, instruments=[A])
    publisher = feed.publisher()
    publisher.publish(quotes([3, 4, 7]))
    publisher.reconnected()
    publisher.publish(quotes([1, 2, 2]))
    run.seal()
    run.run()
    kinds = [kind for kind, _, _ in told.seen]
    assert kinds == ["QUOTE", "QUOTE", "GAP", "QUOTE", "GAP", "QUOTE", "QUOTE", "STALE"]
    assert told.gaps == [(5.0, 6.0, 2.0, 0.0), (0.0, 0.0, 0.0, 1.0)]


def test_a_recording_runs_again_with_the_same_digest(tmp_path: Path) -> None:
    class Trader(tickrail.Strategy):
        def on_start(self) -> None:
            self.schedule_every(1_000_000, lambda event: self.buy(A, float(1 + event.count % 3)))

        def on_quote(self, tick: tickrail.Quote) -> None:
            if tick.sequence % 50 == 0:
                self.target(tick.instrument, float(self.now_ns % 7))

    run, _ = opened(Trader(), fee_rate=0.001)
    recorder = run.record(capacity=1_024)
    with pytest.raises(errors.DataError, match="going on"):
        recorder.finish(0.05)
    feed = run.feed("f", capacity=128, timeout_s=LONG_S)

    def produce(number: int) -> None:
        with feed.publisher() as publisher:
            for start in range(0, 4_000, 50):
                publisher.publish(quotes(range(start, start + 50), number))
                time.sleep(0.0002)

    result = run_with(run, lambda: produce(0), lambda: produce(1))
    recording = recorder.finish()
    assert (len(recording), recording.is_complete) == (result.ticks, True)
    assert {row["publisher"] for row in recording.slices()} == {0, 1}
    np.save(tmp_path / "recording.npy", recording.records())
    stored = Recording.from_records(np.load(tmp_path / "recording.npy").view(TICK_DTYPE), recording.instrument_table)
    for data in (recording, stored):
        again = tickrail.backtest(Trader(), data, fee_rate=0.001)
        assert again.digest == result.digest
        assert np.array_equal(again.fills, result.fills)
    assert len(result.fills) > 50
    with pytest.raises(errors.DataError, match="as a whole"):
        tickrail.backtest(Trader(), recording, start="2020-01-01")


def test_the_switch_interval_is_set_for_the_run_and_restored() -> None:
    before = sys.getswitchinterval()
    inside: list[float] = []

    class Looks(tickrail.Strategy):
        def on_start(self) -> None:
            inside.append(sys.getswitchinterval())

    run, _ = opened(Looks())
    run.seal()
    run.run()
    assert inside[0] == pytest.approx(5e-5)
    assert sys.getswitchinterval() == before


def test_feeds_are_for_live_runs_and_their_settings_are_looked_at() -> None:
    run, _ = opened()
    run.feed("f")
    with pytest.raises(errors.FeedError, match="already"):
        run.feed("f")
    for wrong in (
        {"policy": "hope"},
        {"capacity": 1},
        {"capacity": 100},
        {"timeout_s": -1.0},
        {"timeout_s": float("nan")},
        {"trades": "some"},
        {"backwards": "never"},
        {"numbering": "roman"},
        {"stale_after_ns": -1},
        {"reorder_ns": -1},
    ):
        with pytest.raises(ValueError, match=r"expected|takes|power of two"):
            run.feed("g", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wait is"):
        opened(wait="sleep")
    backtest = TickDispatcher([{"id": A}])
    with pytest.raises(errors.FeedError, match="backtest"):
        backtest.live_feed("f")


def test_columns_that_are_none_are_refused() -> None:
    run, _ = opened()
    publisher = run.feed("f").publisher()
    for wrong, message in (
        ({"bid": [1.0], "ask": [1.0]}, "needs a column 'ts_event'"),
        ({"ts_event": [1], "bid": [1.0]}, "needs a column 'ask'"),
        ({"ts_event": [1], "bid": [1.0], "ask": [1.0], "bidsize": [1.0]}, "did you mean 'bid_size'"),
        ({"ts_event": [1, 2], "bid": [1.0], "ask": [1.0]}, "differ in length"),
    ):
        with pytest.raises(errors.DataError, match=message):
            publisher.publish(wrong)
    with pytest.raises(TypeError):
        publisher.publish(42)
    with pytest.raises(errors.DataError):
        publisher.publish({"ts_event": [1], "bid": [1.0], "ask": [1.0]}, kind="depth")


def test_what_has_room_is_in_at_once_and_what_has_none_waits_without_keeping_the_event_loop() -> None:
    run, keeper = opened()
    feed = run.feed("f", capacity=2)
    assert repr(feed) == "Feed('f', policy='block', capacity=2)"

    async def publish() -> list[bool]:
        publisher = feed.publisher()
        await publisher.publish_async(quotes([0, 1]))
        asked = [publisher.offer(quotes([2, 3]))]  # no room before the run begins
        begun.set()
        await publisher.drained()
        await publisher.drained()  # nothing is left of it
        for number in range(4, 8):
            await publisher.publish_trade_async(A, 1.0, sequence=number)
        publisher.close()
        return asked

    begun, asked = threading.Event(), list[bool]()
    publishing = in_thread(lambda: asked.extend(asyncio.run(publish())))
    assert begun.wait(LONG_S)
    run.seal()
    result = run.run()
    publishing()
    assert asked == [False]
    assert keeper.sequences() == list(range(8))
    assert result.ticks == 8
    assert run.instruments == (A, B)
    feed.close()
    assert feed.is_closed
