"""Orders that leave the process: to the loopback venue and back, whatever gets lost on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_runs import in_thread, publish_until

import tickrail
from tickrail import errors
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.orders import client_order_id
from tickrail.orchestration.live import LiveRun, open_live
from tickrail.report.result import Result
from tickrail.testing.loopback_venue import LoopbackVenue

A = "A.LOOP"


class Told(tickrail.Strategy):
    """Does what ``act`` says at each tick, and keeps what it is told."""

    def on_start(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.updates: list[Any] = []
        self.held = self.position(A)
        self.ticks, self.net = 0, self.held

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.ticks += 1
        self.act(self.ticks)

    def act(self, tick: int) -> None:
        if tick == 1:
            self.buy(A, 2.0)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.net = self.position(A)
        self.told.append((update.order, update.status))
        self.updates.append((update.client_id, update.status, update.fill_quantity, update.fill_price, update.reason))


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[LoopbackVenue]:
    with LoopbackVenue(tmp_path / "orders.jsonl", price=10.0) as running:
        yield running


def adapter(venue: LoopbackVenue, **options: Any) -> LoopbackExecution:
    return LoopbackExecution(name="LOOP", address=venue.address, **{"timeout_s": 1.0, **options})


def run_of(strategy: tickrail.Strategy, port: LoopbackExecution, **settings: Any) -> LiveRun:
    return open_live(strategy, [A], execution={"LOOP": port}, run_id="r1", **settings)


def ran(
    run: LiveRun, until: Callable[[], bool], *, meanwhile: Callable[[], object] = lambda: None, ticks: int = 10**9
) -> Result:
    """Publish quotes until the condition holds, then end the run."""
    with run:
        return publish_until(run, until, instrument=A, meanwhile=meanwhile, most=ticks)


def done(strategy: Told, count: int = 1) -> Callable[[], bool]:
    final = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
    return lambda: sum(status in final for _, status in list(getattr(strategy, "told", ()))) >= count


def test_an_order_goes_out_by_its_name_and_what_becomes_of_it_comes_back(venue: LoopbackVenue) -> None:
    strategy = Told()
    result = ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told == [(1, "SUBMITTED"), (1, "ACCEPTED"), (1, "FILLED")]
    assert {one[0] for one in strategy.updates} == {"r1-0-1"}
    assert strategy.updates[-1][2:4] == (2.0, 10.0)
    assert result.client_ids == ("r1-0-1",) == tuple(venue.books.orders)
    assert result.record["run_id"] == result.run_id == "r1"
    assert [position.net for one in result.strategies for position in one.positions] == [2.0]
    assert venue.statement() == {A: 2.0}


def test_a_name_is_the_same_everywhere() -> None:
    assert client_order_id("r1", 0, 1) == "r1-0-1"


class Greedy(Told):
    def act(self, tick: int) -> None:
        if tick == 1:
            self.buy(A, 100.0)
            self.buy(A, 1.0)


def test_what_the_gate_refuses_never_leaves(venue: LoopbackVenue) -> None:
    strategy = Greedy()
    limits = OrderLimits(max_order_quantity=5.0)
    ran(run_of(strategy, adapter(venue), limits=limits), done(strategy, 2))
    assert (1, "REJECTED") in strategy.told
    assert list(venue.books.orders) == ["r1-0-2"]


@pytest.mark.parametrize("fault", ["lose_answers", "lose_requests", "throttle"])
def test_a_loss_on_the_way_never_doubles_an_order(venue: LoopbackVenue, fault: str) -> None:
    venue.set(**{fault: 2})
    strategy = Told()
    ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told[-1] == (1, "FILLED")
    assert [status for _, status in strategy.told].count("FILLED") == 1
    assert venue.statement() == {A: 2.0}
    assert strategy.net == 2.0


def test_an_answer_that_is_too_late_is_asked_for(venue: LoopbackVenue) -> None:
    venue.set(ack_delay_s=0.3)
    strategy = Told()
    ran(run_of(strategy, adapter(venue, timeout_s=0.1)), done(strategy))
    assert strategy.told[-1] == (1, "FILLED")
    assert venue.statement() == {A: 2.0}


def test_what_the_venue_refuses_is_told_in_its_words(venue: LoopbackVenue) -> None:
    venue.set(reject=1)
    strategy = Told()
    ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told == [(1, "SUBMITTED"), (1, "REJECTED")]
    assert strategy.updates[-1][4] == "the venue does not want it"
    assert strategy.net == 0.0


class ForADay(Told):
    def act(self, tick: int) -> None:
        if tick == 1:
            self.sell(A, 1.0, limit=15.0, time_in_force="DAY")


def test_what_the_adapter_cannot_do_is_refused_before_it_is_sent(venue: LoopbackVenue) -> None:
    strategy = ForADay()
    ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told == [(1, "SUBMITTED"), (1, "REJECTED")]
    assert strategy.updates[-1][4] == "venue LOOP has no orders that expire"
    assert venue.books.orders == {}


def test_parts_add_up(venue: LoopbackVenue) -> None:
    venue.set(parts=3)
    strategy = Told()
    result = ran(run_of(strategy, adapter(venue)), done(strategy))
    assert [status for _, status in strategy.told] == ["SUBMITTED", "ACCEPTED", *["PARTIALLY_FILLED"] * 2, "FILLED"]
    assert sum(result.fills["quantity"]) == 2.0
    assert strategy.net == 2.0


class Waits(Told):
    """An order that waits, is changed, and is taken back or fills."""

    ends: str = "cancel"

    def act(self, tick: int) -> None:
        statuses = [status for _, status in self.told]
        if tick == 1:
            self.buy(A, 1.0, limit=8.0)
        elif "ACCEPTED" in statuses and tick > 3 and not getattr(self, "asked", False):
            self.asked = True
            if self.ends == "cancel":
                self.cancel(1)
            else:
                self.amend(1, quantity=3.0, limit=11.0)


@pytest.mark.parametrize(("ends", "last", "net"), [("cancel", "CANCELED", 0.0), ("amend", "FILLED", 3.0)])
def test_cancels_and_changes_reach_the_order(venue: LoopbackVenue, ends: str, last: str, net: float) -> None:
    strategy = Waits(ends=ends)
    ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told[-1] == (1, last)
    assert strategy.net == venue.statement().get(A, 0.0) == net


class Trails(Told):
    """Raises its stop with the market, which then falls to where it was raised to and not to where it began."""

    def act(self, tick: int) -> None:
        if tick == 1:
            self.sell(A, 1.0, stop=8.0)
        elif self.told[-1][1] == "ACCEPTED" and not getattr(self, "asked", False):
            self.asked = True
            self.amend(1, stop=9.5)


def test_a_stop_is_trailed_at_a_venue_outside(venue: LoopbackVenue) -> None:
    strategy = Trails()

    def falls() -> None:
        if getattr(strategy, "told", []).count((1, "ACCEPTED")) == 2:  # it stands, and the change is answered
            venue.set(price=9.2)

    result = ran(run_of(strategy, adapter(venue)), done(strategy), meanwhile=falls)
    assert strategy.told[-1] == (1, "FILLED")
    assert (result.fills["price"].tolist(), result.orders["stop"].tolist()) == ([9.2], [9.5])
    assert venue.statement() == {A: -1.0}


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_fills_that_come_before_the_answer_to_a_change_all_count(venue: LoopbackVenue, parts: int) -> None:
    """The order is made three times as large, and its fills are told first: a part of them is all that was known of."""
    venue.set(parts=parts)
    strategy = Waits(ends="amend")
    result = ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.told[-1] == (1, "FILLED")
    assert strategy.net == venue.statement()[A] == pytest.approx(3.0)
    assert sum(result.fills["quantity"]) == pytest.approx(3.0)
    assert all(result.fills["quantity"] > 0.0)
    assert result.orders["quantity"].tolist() == [3.0]
    assert result.positions["net"].tolist() == [pytest.approx(3.0)]


class Rests(Told):
    def act(self, tick: int) -> None:
        if tick == 1:
            self.buy(A, 1.0, limit=8.0)


def test_a_venue_that_starts_again_tells_what_was_missed(tmp_path: Path) -> None:
    """The fill happens while nobody is connected."""
    strategy, path = Rests(), tmp_path / "orders.jsonl"
    first = LoopbackVenue(path, price=10.0).start()
    port = int(first.address.rpartition(":")[2])
    again: list[LoopbackVenue] = []

    def restart() -> None:
        if (1, "ACCEPTED") in getattr(strategy, "told", ()) and not again:
            first.close()
            again.append(LoopbackVenue(path, price=7.0, port=port).start())
            again[0].set(price=7.0)

    try:
        ran(run_of(strategy, adapter(first)), done(strategy), meanwhile=restart)
        assert strategy.told[-1] == (1, "FILLED")
        assert strategy.net == again[0].statement()[A] == 1.0
    finally:
        for one in (first, *again):
            one.close()


# ---- before the first order ------------------------------------------------------------------------------------


def traded_before(venue: LoopbackVenue, strategy: Told, run_id: str = "old", **settings: Any) -> None:
    run = open_live(strategy, [A], execution={"LOOP": adapter(venue)}, run_id=run_id, **settings)
    ran(run, lambda: len(getattr(strategy, "told", ())) >= 2)


def test_a_run_begins_with_what_the_account_holds(venue: LoopbackVenue) -> None:
    traded_before(venue, Told())
    strategy = Told()
    result = ran(run_of(strategy, adapter(venue)), done(strategy))
    assert strategy.held == 2.0
    assert strategy.net == venue.statement()[A] == 4.0
    assert [position.net for one in result.strategies for position in one.positions] == [4.0]
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"], trade["fills"], result.held["net"].tolist()) == (
        4.0,
        10.0,
        1,
        [2.0],
    )


def test_what_is_held_and_not_traded_is_among_the_positions(venue: LoopbackVenue) -> None:
    traded_before(venue, Told())
    strategy = Told()
    strategy.act = lambda tick: None  # type: ignore[method-assign]
    result = ran(run_of(strategy, adapter(venue)), lambda: getattr(strategy, "ticks", 0) > 2)
    (position,) = result.strategies[0].positions
    assert (position.net, position.average_price, position.fills) == (2.0, 10.0, 0)
    assert result.trades["is_closed"].tolist() == [False]


def left_open(venue: LoopbackVenue) -> None:
    """An order of a run that is no more."""
    import asyncio

    from tickrail._native import InstrumentId
    from tickrail.domain.orders import OrderRequest

    async def leave() -> None:
        port = adapter(venue)
        await port.submit(OrderRequest("gone-0-1", InstrumentId(A), "BUY", 1.0, limit=5.0))
        port.close()
        await asyncio.sleep(0)

    asyncio.run(leave())


@pytest.mark.parametrize(("policy", "state"), [("report", "ACCEPTED"), ("cancel", "CANCELED")])
def test_orders_that_the_run_has_not_made_are_reported(
    venue: LoopbackVenue, policy: Any, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    left_open(venue)
    strategy = Told()
    result = ran(run_of(strategy, adapter(venue, unknown_orders=policy)), done(strategy))
    assert result.stats["unknown_orders"] == ["gone-0-1"]
    assert venue.books.orders["gone-0-1"]["state"] == state
    assert "venue LOOP: order gone-0-1 is none of this run's: ACCEPTED, 0 filled" in caplog.text


def test_a_position_that_two_may_have_ends_the_start(venue: LoopbackVenue) -> None:
    traded_before(venue, Told())
    run = open_live({"a": Told(), "b": Told()}, [A], execution={"LOOP": adapter(venue)})
    run.feed("quotes")
    with pytest.raises(errors.ExecutionError, match=r"venue LOOP holds 2 A.LOOP, and a, b may have it"):
        run.run()


def test_a_venue_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    with LoopbackVenue(tmp_path / "orders.jsonl") as venue:
        port = adapter(venue)
    run = run_of(Told(), port)
    run.feed("quotes")
    with pytest.raises(errors.ConnectivityError, match=r"venue LOOP at 127.0.0.1:\d+: "):
        run.run()


# ---- again -----------------------------------------------------------------------------------------------------


def test_a_replay_has_the_same_answers_and_sends_nothing(venue: LoopbackVenue) -> None:
    traded_before(venue, Told())
    venue.set(parts=2, lose_answers=1)
    strategy = Told()
    run = run_of(strategy, adapter(venue))
    commands = bytearray()
    run.record_commands(commands.extend)
    recorder = run.record()
    result = ran(run, done(strategy))
    sent = dict(venue.books.orders)
    again = Told()
    replayed = tickrail.backtest(again, recorder.finish(), commands=bytes(commands), execution=["LOOP"])
    assert (again.told, again.held) == (strategy.told, 2.0)
    assert replayed.fills.tobytes() == result.fills.tobytes()
    assert replayed.digest == result.digest
    assert venue.books.orders == sent


class Floods(Told):
    """More orders than the venue answers before the data ends; every fourth waits for a price that does not come."""

    def act(self, tick: int) -> None:
        self.buy(A, 1.0, limit=0.5) if tick % 4 == 0 else self.buy(A, 1.0)


def test_where_the_data_ends_orders_that_left_are_taken_back_or_awaited(venue: LoopbackVenue) -> None:
    strategy, again = Floods(), Floods()
    venue.set(ack_delay_s=0.05)
    run = run_of(strategy, adapter(venue))
    commands = bytearray()
    run.record_commands(commands.extend)
    recorder, feed = run.record(), run.feed("quotes")

    def publish() -> None:
        with feed.publisher() as publisher:
            for _ in range(20):
                publisher.publish_quote(A, 9.9, 10.1)

    publishing = in_thread(publish)
    run.seal()
    result = run.run()
    run.close()
    publishing()
    assert result.status == "complete" and result.ok
    filled = [position.net for one in result.strategies for position in one.positions]
    assert venue.statement() == {A: 15.0} and filled == [15.0]
    assert [status for _, status in strategy.told].count("CANCELED") == 5
    assert [step["name"] for step in result.stats["ending"]["steps"]] == ["drain", "orders", "on_stop"]
    replayed = tickrail.backtest(again, recorder.finish(), commands=bytes(commands), execution=["LOOP"])
    assert (replayed.digest, again.told) == (result.digest, strategy.told)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "nowhere"}, "address is 'nowhere'; expected 'host:port'"),
        ({"unknown_orders": "keep"}, "unknown_orders is 'keep'; expected 'report' or 'cancel'"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0; expected above zero"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.WiringError) as caught:
        LoopbackExecution(**{"name": "LOOP", "address": "127.0.0.1:1", **options})
    assert said in caught.value.message


# ---- by configuration ------------------------------------------------------------------------------------------

STRATEGY = """
import tickrail


class Buyer(tickrail.Strategy):
    def on_quote(self, tick):
        self.target(tick.instrument, 1.0)

    def on_order_update(self, update):
        if update.status == "FILLED":
            self.telemetry.metric("filled")
"""
CONFIG = """
[runtime]
run_id = "conf"
[instruments."A.LOOP"]
currency = "USD"
[feeds.main]
adapter = "FEED"
options = { instruments = ["A.LOOP"] }
[venues.LOOP]
adapter = "loopback"
options = { address = "ADDRESS" }
[strategies.buyer]
class = "live_orders_buyer:Buyer"
instruments = ["A.LOOP"]
"""


@pytest.fixture
def project(tmp_path: Path, venue: LoopbackVenue) -> Iterator[Path]:
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "live_orders_buyer.py").write_text(STRATEGY)
    text = CONFIG.replace("ADDRESS", venue.address)
    (tmp_path / "config" / "live" / "runtime.toml").write_text(text.replace("FEED", "published"))
    yield tmp_path
    sys.modules.pop("live_orders_buyer", None)


def test_a_configured_venue_takes_the_orders(project: Path, venue: LoopbackVenue) -> None:
    with tickrail.RuntimeBootstrapper("live", root=project / "config", environ={}).bootstrap() as runtime:
        telemetry = runtime.dispatcher.strategies["buyer"].telemetry

        def filled() -> bool:
            return bool(telemetry.counters.get("filled"))  # type: ignore[attr-defined]

        result = publish_until(runtime, filled, instrument=A, feed="main")
    assert result.client_ids == ("conf-0-1",)
    assert venue.statement() == {A: 1.0}


def test_recorded_feeds_send_no_orders_away(project: Path) -> None:
    file = project / "config" / "live" / "runtime.toml"
    made = '"tickrail.testing.market_data:FakeMarketData"'
    file.write_text(file.read_text().replace('"published"', made))
    with pytest.raises(errors.ConfigError) as caught:
        tickrail.RuntimeBootstrapper("live", root=project / "config", environ={}).check()
    assert "venues.LOOP.adapter: adapter 'loopback' sends orders out of the process" in str(caught.value)
