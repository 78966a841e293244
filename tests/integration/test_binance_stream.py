"""The websocket feed against a loopback server that drops, stalls, repeats, reorders, sends garbage and closes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_runs import LONG_S, in_thread

import tickrail
from tickrail import errors
from tickrail.adapters.live.binance_stream import BinanceStreamFeed
from tickrail.orchestration.live import LiveRun
from tickrail.testing.stream_server import Fault, Message, StreamServer, messages_of, recorded_messages
from tickrail.testing.ticks import START_NS, quotes, trades

pytest.importorskip("picows")
RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "binance" / "usdm_btcusdt_20240808.gz"
BTC = "BTCUSDT.BINANCE"
MS = 1_000_000


class Keeper(tickrail.Strategy):
    """Keeps (kind, sequence) of every tick, and what GAP records say."""

    def on_start(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.gaps: list[tuple[float, ...]] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen.append((tick.kind, tick.sequence))

    def on_gap(self, tick: tickrail.Tick) -> None:
        self.gaps.append(tick.values)
        self.seen.append(("GAP", tick.sequence))

    def on_stale(self, tick: tickrail.Tick) -> None:
        self.seen.append(("STALE", tick.sequence))

    def has_come_to(self, number: int) -> bool:
        seen = getattr(self, "seen", None)
        return bool(seen) and seen[-1][1] == number

    def numbers(self) -> list[int]:
        return [number for kind, number in self.seen if kind in ("TRADE", "QUOTE")]


def some(count: int) -> list[Message]:
    return list(messages_of(trades(count, instrument=BTC, start_ns=START_NS, step_ns=MS)))


def feed_of(server: StreamServer, **options: Any) -> BinanceStreamFeed:
    settings = {"reconnect": False, "backoff_s": 0.001, "backoff_max_s": 0.01, **options}
    return BinanceStreamFeed(name="f", instruments=[BTC], url=server.url, **settings)


def taken(
    server: StreamServer,
    feed: BinanceStreamFeed,
    until: Callable[[], bool] | None = None,
    strategy: Keeper | None = None,
    **settings: Any,
) -> tuple[Keeper, LiveRun]:
    """Run until the feed ends, or is ended once ``until``."""
    strategy = strategy or Keeper()
    run = tickrail.open_live(strategy, [BTC])
    feed.start(run.feed("f", timeout_s=LONG_S, **{**feed.settings, **settings}))
    run.seal()

    def end() -> None:
        deadline = time.monotonic() + LONG_S
        while until is not None and not until():
            assert time.monotonic() < deadline, (feed.counts, server.counts)
            time.sleep(0.002)
        if until is not None:
            feed.close()

    ended = in_thread(end)
    assert run.run().status == "complete"
    ended()
    feed.close()
    assert run.accounts().balanced
    return strategy, run


def lost_once(fault: Fault, count: int = 300) -> tuple[Keeper, BinanceStreamFeed, StreamServer]:
    """A stream whose 100th message meets ``fault``, over connections that come back."""
    with StreamServer(some(count), faults={100: fault}, at_end="stay") as server:
        feed = feed_of(server, reconnect=True)
        strategy: Keeper = Keeper()
        taken(server, feed, lambda: strategy.has_come_to(count), strategy)
        return strategy, feed, server


def test_a_stream_arrives_whole_and_in_order() -> None:
    with StreamServer(some(5_000)) as server:
        feed = feed_of(server)
        strategy, run = taken(server, feed)
    assert strategy.seen == [("TRADE", number) for number in range(1, 5_001)]
    assert feed.counts == {"answers": 1}
    assert run.accounts().feeds["f"].taken == 5_000


def test_a_connection_that_closes_comes_back_and_the_loss_is_told_in_its_place() -> None:
    strategy, feed, server = lost_once(("close", 20, 1012))
    assert strategy.numbers() == [*range(1, 101), *range(121, 301)]
    where = [place for place, (kind, _) in enumerate(strategy.seen) if kind == "GAP"]
    assert where == [100, 101], "after the last record before it, before the first after it"
    reconnected, jump = strategy.gaps
    assert reconnected[3] == 1.0, "the source was gone"
    assert jump[:3] == (101.0, 120.0, 20.0)
    assert (feed.counts["reconnects"], server.counts["connections"]) == (1, 2)


def test_a_connection_that_is_cut_tells_what_did_not_arrive() -> None:
    strategy, feed, _ = lost_once(("drop", 20))
    numbers = strategy.numbers()
    assert numbers == sorted(set(numbers))
    # What the server had handed to the system may be gone with the connection.
    missing = sum(int(gap[2]) for gap in strategy.gaps)
    assert len(numbers) + missing == 300
    assert missing >= 20
    assert feed.counts["reconnects"] == 1


def test_a_close_without_a_loss_is_a_gap_of_unknown_size_alone() -> None:
    strategy, _, _ = lost_once(("close", 0, 1000))
    assert strategy.numbers() == list(range(1, 301))
    assert [gap[2:] for gap in strategy.gaps] == [(0.0, 1.0)]


@pytest.mark.parametrize(
    ("fault", "missing", "counts"),
    [
        (("repeat",), [], {"duplicates": 1}),
        (("swap",), [101], {"late": 1, "gaps": 1}),
        (("garbage", b"{nonsense"), [], {"malformed": 1}),
        (("garbage", b'{"a":' * 5_000), [], {"malformed": 1}),
        (("garbage", b"\x00\xff\xfe"), [], {"malformed": 1}),
        (("garbage", b'{"stream":"other@trade","data":{"t":1}}'), [], {"other": 1}),
        (("lose", 5), [101, 102, 103, 104, 105], {"gaps": 1}),
    ],
    ids=["repeat", "swap", "garbage", "a deep one", "bytes", "foreign", "lose"],
)
def test_what_comes_wrong_within_a_connection_disturbs_no_order(
    fault: Fault, missing: list[int], counts: dict[str, int]
) -> None:
    with StreamServer(some(300), faults={100: fault}) as server:
        feed = feed_of(server)
        strategy, _ = taken(server, feed)
    assert strategy.numbers() == [number for number in range(1, 301) if number not in missing]
    assert feed.counts == {"answers": 1, **counts}
    assert sum(int(gap[2]) for gap in strategy.gaps) == len(missing)


def test_silence_is_told_and_its_end_too() -> None:
    with StreamServer(some(20), faults={10: ("wait",)}) as server:
        feed = feed_of(server, stale_after_ns=30 * MS)
        strategy: Keeper = Keeper()

        def stale() -> bool:
            if any(kind == "STALE" for kind, _ in list(getattr(strategy, "seen", ()))):
                server.go_on()
                return True
            return False

        watch = in_thread(lambda: wait_for(stale))
        taken(server, feed, None, strategy)
        watch()
    kinds = [kind for kind, _ in strategy.seen]
    assert kinds[:11] == ["TRADE"] * 10 + ["STALE"]
    assert strategy.numbers() == list(range(1, 21))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_venue_that_shows_no_sign_of_life_is_left() -> None:
    """It keeps the connection and answers nothing: as a cable that was pulled."""
    with StreamServer(some(20), faults={10: ("wait",)}, at_end="stay", pongs=False) as server:
        feed = feed_of(server, reconnect=True, heartbeat_s=0.03, heartbeat_timeout_s=0.03)
        strategy, _ = taken(server, feed, lambda: feed.counts["gaps"] == 1)
    assert feed.counts["reconnects"] >= 1
    assert strategy.numbers() == [*range(1, 11), *range(12, 21)][: len(strategy.numbers())]
    assert strategy.gaps[0][3] == 1.0
    assert strategy.gaps[-1][:2] == (11.0, 11.0)


class Slow(Keeper):
    """Waits until it is let go."""

    def on_start(self) -> None:
        super().on_start()
        self.go = threading.Event()
        self.is_in = threading.Event()

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.is_in.set()
        self.go.wait(LONG_S)
        super().on_tick(tick)


@pytest.mark.slow
def test_under_block_the_source_waits_and_nothing_piles_up() -> None:
    """The strategy stands still: what is sent meets a full ring, then a full socket, and the server has to wait."""
    count = 60_000
    with StreamServer(some(count)) as server:
        feed = feed_of(server)
        strategy: Slow = Slow()
        held: list[int] = []

        def watch() -> None:
            wait_for(lambda: hasattr(strategy, "is_in") and strategy.is_in.is_set())
            before = -1
            while before != server.counts["sent"]:  # until the server has come to a stand
                before = server.counts["sent"]
                time.sleep(0.2)
            link = feed._link
            assert link is not None
            held.append(len(link._decoder.records) + link.waiting)
            strategy.go.set()

        watching = in_thread(watch)
        _, run = taken(server, feed, None, strategy, capacity=64)
        watching()
    assert strategy.numbers() == list(range(1, count + 1))
    assert held[0] < 20_000, "at most what two reads of the socket had"
    assert run.accounts().feeds["f"].waits > 0


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
def test_a_lossy_policy_keeps_the_order_and_the_account(policy: str) -> None:
    with StreamServer(some(20_000)) as server:
        strategy: Slow = Slow()
        letting_go = in_thread(lambda: (wait_for(lambda: hasattr(strategy, "go")), time.sleep(0.05), strategy.go.set()))
        _, run = taken(server, feed_of(server), None, strategy, policy=policy, capacity=64)
        letting_go()
    numbers = strategy.numbers()
    assert numbers == sorted(set(numbers))
    account = run.accounts().feeds["f"]
    assert account.offered == 20_000
    assert account.taken == len(numbers) < 20_000


def test_many_losses_one_after_the_other() -> None:
    """Random faults by a seed: each trade arrives once and in order, or is named by a GAP record."""
    rng = np.random.default_rng(7)
    count = 20_000
    kinds: list[Fault] = [("close", 3, 1001), ("drop", 2), ("repeat",), ("swap",), ("garbage", b"\x00"), ("lose", 4)]
    places = sorted(rng.choice(np.arange(50, count - 100), 60, replace=False))
    faults = {int(place): kinds[int(rng.integers(len(kinds)))] for place in places if place % 2 == 0}
    with StreamServer(some(count), faults=faults, at_end="stay") as server:
        strategy: Keeper = Keeper()
        feed = feed_of(server, reconnect=True)
        taken(server, feed, lambda: strategy.has_come_to(count), strategy)
    numbers = strategy.numbers()
    assert numbers == sorted(set(numbers))
    named = {one for first, last, many, _ in strategy.gaps if many for one in range(int(first), int(last) + 1)}
    assert set(numbers) | named == set(range(1, count + 1))
    assert feed.counts["reconnects"] == server.counts["drop"] + server.counts["close"]


# ---- what is refused -------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_ends_the_start() -> None:
    with StreamServer() as server:
        url = server.url
    feed = BinanceStreamFeed(name="f", instruments=[BTC], url=url, connect_timeout_s=2.0)
    run = tickrail.open_live(Keeper(), [BTC])
    before = set(threading.enumerate())
    with pytest.raises(errors.ConnectivityError) as caught:
        feed.start(run.feed("f", **feed.settings))
    assert caught.value.message.startswith(f"feed 'f': {url}: ")
    assert set(threading.enumerate()) <= before
    run.seal()
    assert run.run().ticks == 0


def test_a_refused_subscription_ends_the_start() -> None:
    with StreamServer(refusal={"code": 2, "msg": "Invalid request: unknown stream"}) as server:
        feed = feed_of(server)
        run = tickrail.open_live(Keeper(), [BTC])
        with pytest.raises(errors.ConnectivityError, match="code 2: Invalid request: unknown stream"):
            feed.start(run.feed("f", **feed.settings))


def test_a_server_that_says_nothing_is_not_waited_for_for_good() -> None:
    with StreamServer(refuses=1) as server:
        feed = feed_of(server, connect_timeout_s=1.0)
        run = tickrail.open_live(Keeper(), [BTC])
        with pytest.raises(errors.ConnectivityError, match="connection"):
            feed.start(run.feed("f", **feed.settings))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"url": "http://x/stream"},
            "url is 'http://x/stream'; expected such as 'wss://stream.binance.com:9443/stream'",
        ),
        ({"url": "stream"}, "url is 'stream'"),
        ({"instruments": []}, "instruments is empty; expected ids such as 'BTCUSDT.BINANCE'"),
        ({"instruments": ["btc/usdt.BINANCE"]}, "instrument 'btc/usdt.BINANCE' is no symbol of Binance"),
        ({"instruments": ["BTCUSDT"]}, "instrument 'BTCUSDT' is no symbol of Binance"),
        ({"streams": ["trades"]}, "stream 'trades' is not known; did you mean 'trade'?; there are bookTicker, trade"),
        ({"backoff_s": 0.0}, "backoff_s is 0.0; expected seconds, above zero"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_connected(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.WiringError) as caught:
        BinanceStreamFeed(**{"name": "f", "instruments": [BTC], **options})
    assert caught.value.message.startswith("adapter 'binance' of feed 'f': ")
    assert said in caught.value.message


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.WiringError, match="needs picows") as caught:
        BinanceStreamFeed(name="f", instruments=[BTC])
    assert "pip install 'tickrail[live]'" in str(caught.value)


# ---- the recorded stream ---------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.skipif(not RECORDED.is_file(), reason="../shared/data is absent")
def test_the_recorded_futures_stream_arrives_as_it_was() -> None:
    with StreamServer(recorded_messages(RECORDED)) as server:
        feed = feed_of(server)
        strategy, _ = taken(server, feed)
    kinds = [kind for kind, _ in strategy.seen]
    assert (kinds.count("QUOTE"), kinds.count("TRADE"), len(kinds)) == (66_089, 21_313, 87_402)
    assert feed.counts == {"answers": 1}


def test_quotes_keep_the_order_of_their_updates() -> None:
    source = list(messages_of(quotes(300, instrument=BTC, start_ns=START_NS, step_ns=MS)))
    with StreamServer(source, faults={50: ("swap",), 100: ("repeat",)}) as server:
        feed = feed_of(server)
        strategy, _ = taken(server, feed)
    assert strategy.numbers() == [number for number in range(1, 301) if number != 51]
    assert feed.counts == {"answers": 1, "late": 1, "duplicates": 1}
