"""The recorded Binance streams, published from two threads at real speed and faster: all of it arrives, in order, or is
accounted for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from live_runs import LONG_S, run_with

import tickrail
from tickrail.data.importing import import_ticks

BINANCE = Path(__file__).parents[2].parent / "shared" / "data" / "binance"
STREAMS = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")
#: What the source says of a record; when it came in and its place in the table are the run's own.
SAID = ("ts_event", "sequence", "kind", "side", "flags", "value_0", "value_1", "value_2", "value_3")

pytest.importorskip("msgspec")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not BINANCE.is_dir(), reason="../shared/data is absent"),
]


class Batches(tickrail.Strategy):
    """Keeps every batch: fast enough for any pace here."""

    def on_start(self) -> None:
        self.kept: list[npt.NDArray[np.void]] = []

    def on_batch(self, batch: tickrail.TickBatch) -> None:
        self.kept.append(np.array(batch.records))


class Slow(Batches):
    """Ten times slower than what comes."""

    def on_batch(self, batch: tickrail.TickBatch) -> None:
        super().on_batch(batch)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> list[npt.NDArray[np.void]]:
    """The records of both streams, each with an instrument of its own."""
    folder = tmp_path_factory.mktemp("binance")
    for name in STREAMS:
        import_ticks(BINANCE / name, folder / f"{name}.ticks")
    arrays = [np.array(tickrail.read_ticks(folder / f"{name}.ticks").numpy()) for name in STREAMS]
    for number, array in enumerate(arrays):
        array["instrument"] = number
    return arrays


def window(streams: list[npt.NDArray[np.void]], seconds: float) -> list[npt.NDArray[np.void]]:
    """The first ``seconds`` that both have, by the recorder's clock."""
    start = max(int(array["ts_init"][0]) for array in streams)
    end = start + int(seconds * 1e9)
    return [array[(array["ts_init"] >= start) & (array["ts_init"] < end)] for array in streams]


def publish(publisher: Any, records: npt.NDArray[np.void], speed: float, begun: threading.Barrier) -> None:
    """Publish each record when it is due, by batches of what has become due."""
    times = (records["ts_init"] - records["ts_init"][0]) / speed / 1e9
    begun.wait(LONG_S)
    started, done = time.monotonic(), 0
    with publisher:
        while done < len(records):
            due = int(np.searchsorted(times, time.monotonic() - started, side="right"))
            if due > done:
                publisher.publish(records[done:due])
                done = due
            else:
                time.sleep(min(0.01, max(0.0, times[done] - (time.monotonic() - started))))


def replayed(strategy: Batches, records: list[npt.NDArray[np.void]], speed: float, **settings: Any) -> Any:
    run = tickrail.open_live(strategy, ["BTCUSDT.SPOT", "BTCUSDT.PERP"], max_ticks=1_024)
    feeds = [run.feed(name, timeout_s=LONG_S, **settings) for name in ("spot", "perp")]
    publishers = [feed.publisher() for feed in feeds]
    begun = threading.Barrier(2)
    jobs = [lambda number=number: publish(publishers[number], records[number], speed, begun) for number in range(2)]
    result = run_with(run, *jobs)
    assert result.status == "complete"
    accounts = run.accounts()
    assert accounts.balanced
    return accounts


def said(array: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    out = np.empty(len(array), [(name, array.dtype[name]) for name in SAID])
    for name in SAID:
        out[name] = array[name]
    return out


def check_complete(strategy: Batches, records: list[npt.NDArray[np.void]]) -> None:
    kept = np.concatenate(strategy.kept)
    assert len(kept) == sum(map(len, records))
    for number, array in enumerate(records):
        assert said(kept[kept["instrument"] == number]).tobytes() == said(array).tobytes()


@pytest.mark.parametrize(("speed", "seconds"), [(1, 2), (10, 15), (100, 90)])
def test_under_block_everything_arrives_in_order(
    streams: list[npt.NDArray[np.void]], speed: float, seconds: float
) -> None:
    records = window(streams, seconds)
    assert all(len(array) > 10 for array in records)
    strategy = Batches()
    accounts = replayed(strategy, records, speed, policy="block", capacity=1_024)
    check_complete(strategy, records)
    for feed, array in zip(accounts.feeds.values(), records, strict=True):
        assert (feed.offered, feed.taken, feed.rejected) == (len(array), len(array), 0)


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "conflate"])
def test_under_a_lossy_policy_all_is_accounted_for(streams: list[npt.NDArray[np.void]], policy: str) -> None:
    records = window(streams, 200)
    strategy = Slow()
    accounts = replayed(strategy, records, 200, policy=policy, capacity=32, trades="sum")
    taken = sum(map(len, strategy.kept))
    lost = 0
    for feed, array in zip(accounts.feeds.values(), records, strict=True):
        assert (feed.offered, feed.pending) == (len(array), 0)
        lost += feed.dropped_newest + feed.dropped_oldest + feed.conflated + feed.rejected
    assert lost > 0
    assert taken + lost == sum(map(len, records))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_longer_stretches_arrive_as_well(streams: list[npt.NDArray[np.void]]) -> None:
    """Twelve seconds of each speed, side by side: most of it is waiting."""

    def arrives(speed: float, seconds: float) -> None:
        records = window(streams, seconds)
        strategy = Batches()
        replayed(strategy, records, speed, policy="block", capacity=8_192)
        check_complete(strategy, records)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(arrives, *one) for one in ((1, 12), (10, 120), (100, 1_200))]:
            done.result()
