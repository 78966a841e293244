"""The pytest plugin and the fakes, as a strategy author uses them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

import tickrail
from tickrail import testing
from tickrail._native import InstrumentId, TickArray
from tickrail.domain.orders import OrderReport, OrderRequest
from tickrail.errors import ConnectivityError, Unsupported
from tickrail.orchestration.runtime import Runtime
from tickrail.testing.hypothesis_strategies import quote_arrays, tick_arrays
from tickrail.testing.plugin import Fakes

pytest_plugins = ["pytester"]
EMA = {"class": "examples.ema_cross:EmaCross", "params": {"fast": 5, "slow": 20}}


def test_a_configuration_boots_in_a_fixture(boot: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    tables = {"venues": {"SIM": {"adapter": "tickrail.testing.execution:FakeVenue"}}, "strategies": {"ema": EMA}}
    first, second = boot(tables), boot(tables)
    assert first.graph_hash == second.graph_hash
    results = [first.run(), second.run()]
    assert [result.ticks for result in results] == [1_000, 1_000]
    assert results[0].digest == results[1].digest
    text = boot(
        '[feeds.fake]\nadapter = "tickrail.testing.market_data:FakeMarketData"\n'
        + textwrap.dedent("""
        [strategies.ema]
        class = "examples.ema_cross:EmaCross"
    """)
    )
    assert text.start_order == ("ema",)


def test_fakes_keep_their_calls_and_have_the_faults_they_are_told(fakes: Fakes) -> None:
    order = OrderRequest("o-1", InstrumentId("EURUSD.SIM"), "BUY", 1.0)
    fakes.execution.faults.on("submit", ConnectivityError("down"), after=1)
    heard = list[OrderReport]()
    fakes.execution.subscribe(heard.append)
    fakes.execution.submit(order)
    with pytest.raises(ConnectivityError):
        fakes.execution.submit(order)
    fakes.execution.submit(order)
    assert [call.arguments["order"] for call in fakes.execution.called("submit")] == [order] * 3
    assert fakes.execution.deliver() == 2
    assert [report.state for report in heard] == ["ACCEPTED", "FILLED"]
    with pytest.raises(Unsupported) as caught:
        testing.FakeExecution(capabilities=frozenset()).submit(order)
    assert caught.value.capability == "market"
    fakes.state.faults.on("load", OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        fakes.state.load("one")
    fakes.telemetry.faults.on("metric", RuntimeError, times=2)
    fakes.telemetry.metric("n")
    assert fakes.telemetry.dropped == 1
    fakes.market_data.push(testing.quotes(3))
    latest = fakes.market_data.latest_tick("EURUSD.SIM")
    assert latest is not None
    assert [call.method for call in fakes.market_data.calls] == ["latest_tick"]


def test_a_fake_live_feed_publishes_what_is_pushed_and_loses_its_connection_on_request() -> None:
    feed = testing.FakeLiveFeed()
    feed.faults.on("start", ConnectivityError("down"))
    counts = Counts()
    run = tickrail.open_live(counts, feed.instruments)
    with pytest.raises(ConnectivityError):
        feed.start(run.feed("first"))
    feed.push(testing.quotes(3))  # what is pushed before the start is published after it
    feed.start(run.feed("second"))
    assert feed.is_running
    feed.disconnect()
    feed.push(testing.quotes(2))
    feed.end()
    run.seal()
    result = run.run()
    feed.close()
    assert not feed.is_running
    assert (counts.count, result.ticks, feed.refused) == (6, 6, [])
    assert [call.method for call in feed.calls] == ["start", "start", "close"]


class Counts(tickrail.Strategy):
    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1


@settings(max_examples=25, deadline=None)
@given(tick_arrays(max_size=500))
def test_drawn_ticks_run(array: TickArray) -> None:
    strategy = Counts()
    assert tickrail.backtest(strategy, array).ok
    assert strategy.count == len(array)


@settings(max_examples=25, deadline=None)
@given(quote_arrays(max_size=500))
def test_drawn_arrays_of_one_kind_run(array: TickArray) -> None:
    assert tickrail.backtest(Counts(), array).ticks == len(array)


@pytest.mark.slow
def test_a_users_suite_is_collected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from tickrail.testing.conformance import StateStoreSuite

        class Forgetful:
            def load(self, strategy): return {}
            def save(self, strategy, state): pass

        class TestForgetful(StateStoreSuite):
            def make(self): return Forgetful()
        """
    )
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=3, failed=11)
    outcome.stdout.fnmatch_lines(["*test_what_was_saved_last_is_loaded*"])
