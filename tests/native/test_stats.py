"""``RuntimeStats``: what was measured, read while the run goes on."""

from __future__ import annotations

import json
import threading

import pytest

from tickrail import Strategy, Tick, TickBatch, TickDispatcher

from .runs import EURUSD, array


class Counted(Strategy):
    def on_tick(self, tick: Tick) -> None: ...


class Batched(Strategy):
    def on_batch(self, batch: TickBatch) -> None: ...


def of(*strategies: Strategy, ticks: int = 1_000, sample_every: int = 0) -> TickDispatcher:
    run = TickDispatcher([{"id": EURUSD}], sample_every=sample_every)
    run.feed("ticks", array(range(1, ticks + 1)))
    for number, strategy in enumerate(strategies):
        run.register(strategy, f"s{number}", max_ticks=10)
    return run


@pytest.mark.parametrize(("sample_every", "expected"), [(1, 1_000), (8, 125), (100, 7), (2**20, 0)])
def test_each_nth_tick_is_measured(sample_every: int, expected: int) -> None:
    run = of(Counted(), Counted(), sample_every=sample_every)
    run.run()
    for one in run.stats().strategies:
        assert one.account.delivered == 1_000
        assert (0 if one.handler is None else one.handler.count) == expected
        assert one.latency is None
        assert one.lateness is None


def test_measuring_changes_no_digest_and_batches_are_measured_too() -> None:
    plain, measured = of(Counted(), Batched()), of(Counted(), Batched(), sample_every=16)
    plain.run()
    measured.run()
    assert measured.result().digest == plain.result().digest
    handler = measured.stats().strategy("s1").handler
    assert handler is not None
    assert handler.count == 1_000 // 16
    assert 0 < handler.p50_ns <= handler.p99_ns <= handler.max_ns
    assert handler.mean_ns > 0
    assert "handler" in measured.result().stats["measured"]["s1"]
    assert "measured" not in plain.result().stats


def test_it_is_read_by_other_threads_while_the_run_goes_on() -> None:
    seen: list[int] = []
    halfway, looked = threading.Event(), threading.Event()

    class Waits(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 500:
                halfway.set()
                assert looked.wait(60)

    run = of(Waits(), sample_every=1)

    def look() -> None:
        assert halfway.wait(60)
        handler = run.stats(patience_s=0.0).strategy("s0").handler
        seen.append(0 if handler is None else handler.count)
        looked.set()

    thread = threading.Thread(target=look)
    thread.start()
    run.run()
    thread.join()
    assert seen == [499], "the handler that is running has not returned"


def test_before_the_run_there_is_nothing() -> None:
    stats = of(Counted(), sample_every=1).stats()
    assert (stats.ticks, stats.strategies, stats.feeds) == (0, (), ())


def test_it_shows_itself_and_goes_out_as_plain_values_and_arrow() -> None:
    pytest.importorskip("pyarrow")
    run = of(Counted(), sample_every=4)
    run.run()
    stats = run.stats()
    shown = json.loads(json.dumps(stats.to_dict()))
    (row,) = shown["strategies"]
    assert {"name", "state", "delivered", "handler", "latency", "lateness"} <= row.keys()
    assert set(row["handler"]) == {"count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"}
    assert row["latency"] is None
    table = stats.to_arrow()
    assert table.column_names == ["kind", "name", "measure", "from_ns", "to_ns", "count"]
    assert sum(table["count"].to_pylist()) == 250
    assert set(table["measure"].to_pylist()) == {"handler"}
    counts = stats.to_arrow("counts")
    assert counts.column_names == ["kind", "name", "counter", "value"]
    rows = {tuple(row.values()) for row in counts.to_pylist()}
    assert ("strategy", "s0", "delivered", 1_000) in rows
    assert all(kind == "strategy" for kind, *_ in rows)
    pa = pytest.importorskip("pyarrow")
    assert pa.table(stats).equals(counts)
    with pytest.raises(ValueError, match="what is 'lag': expected 'times' or 'counts'"):
        stats.to_arrow("lag")
    assert "s0" in repr(stats)
    assert "1,000" in repr(stats)
    assert stats._repr_html_().count("<tr>") == 2
    with pytest.raises(KeyError):
        stats.strategy("nobody")
