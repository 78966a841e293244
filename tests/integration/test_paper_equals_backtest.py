"""A recorded stream gives the same orders and digest in ``backtest``, from the imported file, and in ``paper``, over a
websocket at the recorded times of receipt on the sim clock."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tickrail import RuntimeBootstrapper, errors
from tickrail.data.importing import import_ticks
from tickrail.report.result import Result
from tickrail.testing.stream_server import Message, StreamServer, messages_of, recorded_messages
from tickrail.testing.ticks import START_NS, quotes, trades

pytest.importorskip("picows")
RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "binance" / "usdm_btcusdt_20240808.gz"
STRATEGY = """
from tickrail import Strategy


class Crosser(Strategy):
    # Trades on two averages, waits with limit orders, and sets timers: whatever could depend on when things arrive.

    def on_start(self):
        self.x = self.y = 0.0
        self.started_ns = self.now_ns
        self.schedule_every(500_000_000, name="look")
        self.waiting = None

    def on_quote(self, tick):
        mid = tick.mid
        self.x = self.x + (mid - self.x) * 0.1 if self.x else mid
        self.y = self.y + (mid - self.y) * 0.02 if self.y else mid
        self.target(tick.instrument, 1.0 if self.x > self.y else -1.0)

    def on_timer(self, event):
        if self.waiting is not None:
            self.cancel(self.waiting)
        if self.x:
            self.waiting = self.buy("BTCUSDT.BINANCE", 0.5, limit=round(self.y * 0.9999, 1))
"""
BASE = """
[runtime]
order_by = "ts_init"
digest = "full"
[instruments."BTCUSDT.BINANCE"]
currency = "USDT"
price_increment = 0.1
[venues.BINANCE]
fee_rate = 0.0004
order_latency_ns = 2_000_000
report_latency_ns = 1_000_000
[strategies.crosser]
class = "paper_crosser:Crosser"
instruments = ["BTCUSDT.BINANCE"]
"""
BACKTEST = """
[feeds.futures]
adapter = "ticks"
path = "futures.ticks"
"""
PAPER = """
[runtime]
clock = "sim"
[feeds.futures]
adapter = "binance"
policy = "block"
options = { url = "URL", instruments = ["BTCUSDT.BINANCE"], receipts = true, reconnect = false }
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    for env, text in (("base", BASE), ("backtest", BACKTEST)):
        (tmp_path / "config" / env).mkdir(parents=True)
        (tmp_path / "config" / env / "runtime.toml").write_text(text)
    (tmp_path / "paper_crosser.py").write_text(STRATEGY)
    yield tmp_path
    sys.modules.pop("paper_crosser", None)


def ran(project: Path, env: str) -> Result:
    with RuntimeBootstrapper(env, root=project / "config", environ={}).bootstrap() as runtime:
        return runtime.run()


def from_file(project: Path, messages: list[Message]) -> Result:
    recording = project / "usdm_btcusdt_20240808.gz"
    with gzip.open(recording, "wb", 1) as file:
        file.writelines(b"%d %s\n" % message for message in messages)
    import_ticks(recording, project / "futures.ticks")
    return ran(project, "backtest")


def over_the_socket(project: Path, messages: list[Message], **options: Any) -> Result:
    with StreamServer(messages, receipts=True, **options) as server:
        (project / "config" / "paper").mkdir(exist_ok=True)
        (project / "config" / "paper" / "runtime.toml").write_text(PAPER.replace("URL", server.url))
        return ran(project, "paper")


def check_same(first: Result, second: Result) -> None:
    assert (first.status, second.status) == ("complete", "complete")
    assert first.ticks == second.ticks
    assert len(first.orders) > 20
    assert len(first.fills) > 10
    assert first.orders.tobytes() == second.orders.tobytes()
    assert first.fills.tobytes() == second.fills.tobytes()
    assert first.digest == second.digest


def made(count: int) -> list[Message]:
    """Trades among quotes; each is received a little after its time."""
    bids = quotes(count, instrument="BTCUSDT.BINANCE", seed=3, start_ns=START_NS, step_ns=3_000_000)
    deals = trades(count // 5, instrument="BTCUSDT.BINANCE", seed=4, start_ns=START_NS, step_ns=15_000_000)
    both = [*messages_of(bids), *messages_of(deals)]
    return sorted((receipt_ns + 417, text) for receipt_ns, text in both)


@pytest.mark.parametrize("options", [{}, {"speed": 50.0}], ids=["max", "paced"])
def test_a_made_stream_gives_the_same_from_a_file_and_over_a_socket(project: Path, options: dict[str, Any]) -> None:
    messages = made(6_000)
    check_same(from_file(project, messages), over_the_socket(project, messages, **options))


@pytest.mark.real_data
@pytest.mark.skipif(not RECORDED.is_file(), reason="../shared/data is absent")
def test_the_recorded_futures_stream_does(project: Path) -> None:
    import_ticks(RECORDED, project / "futures.ticks")
    first = ran(project, "backtest")
    with StreamServer(recorded_messages(RECORDED), receipts=True) as server:
        (project / "config" / "paper").mkdir()
        (project / "config" / "paper" / "runtime.toml").write_text(PAPER.replace("URL", server.url))
        second = ran(project, "paper")
    assert first.ticks == 87_402
    check_same(first, second)


def test_a_message_less_is_another_run(project: Path) -> None:
    messages = made(3_000)
    first = from_file(project, messages)
    assert over_the_socket(project, messages[:-1]).digest != first.digest


def problems(project: Path, text: str) -> str:
    (project / "config" / "paper").mkdir()
    (project / "config" / "paper" / "runtime.toml").write_text(text)
    with pytest.raises(errors.ConfigError) as caught:
        RuntimeBootstrapper("paper", root=project / "config", environ={}).check()
    return str(caught.value)


def test_a_feed_without_recorded_receipts_brings_no_clock(project: Path) -> None:
    said = problems(project, PAPER.replace("URL", "ws://127.0.0.1:9/stream").replace("receipts = true, ", ""))
    assert "feeds.futures.adapter: does not bring the times at which its records were received" in said
    assert "receipts = true" in said


def test_the_sim_clock_wants_every_record_in_the_digest(project: Path) -> None:
    text = PAPER.replace("URL", "ws://127.0.0.1:9/stream").replace(
        '"sim"', '"sim"\ndigest = "events"\norder_by = "ts_event"'
    )
    said = problems(project, text)
    assert "runtime.digest: is 'events', while runtime.clock is 'sim'" in said
    assert "runtime.order_by: is 'ts_event', while runtime.clock is 'sim'" in said
