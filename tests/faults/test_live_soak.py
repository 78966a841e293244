"""An overload over the Python face, under every policy: memory flat, accounts exact at every look and at the end.

Five seconds a policy; ``SOAK_SECONDS`` makes it longer (``make soak``: a minute each).
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import errors
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.orchestration.live import LiveRun

SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
INSTRUMENTS = [f"I{number}.SIM" for number in range(8)]
#: What the interpreter and its allocator may take meanwhile; a queue without a bound would take this in a second.
SLACK_BYTES = 8 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")


class Slow(tickrail.Strategy):
    """Takes ticks at a tenth of the pace at which they are offered, or less."""

    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.count % 256 == 0:
            time.sleep(0.001)


def records() -> np.ndarray[Any, np.dtype[np.void]]:
    made = np.zeros(1_024, QUOTE_DTYPE)
    made["kind"], made["ts_event"] = 1, 1 + np.arange(1_024)
    made["instrument"] = np.arange(1_024) % len(INSTRUMENTS)
    for field in ("bid", "ask", "bid_size", "ask_size"):
        made[field] = 1.0
    return made


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def publish(feed: Any, offered: list[int], number: int) -> None:
    some = records()
    with feed.publisher() as publisher:
        while True:
            try:
                publisher.publish(some)
            except errors.RingFull:
                time.sleep(0.0001)
            except errors.FeedClosed:
                return
            offered[number] += len(some)


def look(run: LiveRun, seen: list[int], wrong: list[Any]) -> None:
    """Looks at the accounts and the memory until the time is over, and then ends the run."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.05)
        accounts = run.accounts()
        if not accounts.balanced:
            wrong.append(accounts)
        seen.append(resident())
    run.close()


@pytest.mark.slow
@pytest.mark.timeout(120 + 4 * SECONDS)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("policy", ["block", "reject", "drop_newest", "drop_oldest", "conflate"])
def test_memory_is_flat_and_the_accounts_are_exact(policy: Any) -> None:
    strategy = Slow()
    run = tickrail.open_live(strategy, INSTRUMENTS)
    feed = run.feed("flood", policy=policy, capacity=1_024, timeout_s=60.0)  # whatever else the machine does
    offered, seen, wrong = [0, 0], list[int](), list[Any]()
    threads = [threading.Thread(target=publish, args=(feed, offered, number)) for number in range(2)]
    threads.append(threading.Thread(target=look, args=(run, seen, wrong)))
    for thread in threads:
        thread.start()
    result = run.run()
    for thread in threads:
        thread.join()
    assert result.ok, result.errors
    assert wrong == []
    accounts = run.accounts()
    assert accounts.balanced
    account = accounts.feeds["flood"]
    assert account.pending == 0
    assert account.taken == strategy.count == accounts.strategies["Slow"].delivered
    assert account.offered >= sum(offered) > 10_000
    lost = account.dropped_newest + account.dropped_oldest + account.conflated
    assert account.published == account.taken + lost
    if policy in ("block", "reject"):
        assert lost == 0
    else:
        assert lost > account.taken, "it was an overload"
    settled = seen[len(seen) // 4]
    assert max(seen[len(seen) // 4 :]) - settled < SLACK_BYTES
