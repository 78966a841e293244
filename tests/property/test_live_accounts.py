"""The accounts of a live run after every step: publishers, strategies that are held, paused, stopped, and that fail.

Hypothesis chooses policies, rules for lag, and what happens; the loop runs on a thread of its own, as for users.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tickrail import QUOTE_DTYPE, Strategy, Tick, TickBatch, TickDispatcher, errors
from tickrail._native import open_lanes

INSTRUMENTS = ("A.SIM", "B.SIM", "C.SIM")
PATIENCE_S = 60.0
CAPACITY = 16
PAUSE, RESUME, STOP = 1, 2, 3

policies = st.sampled_from(["block", "reject", "drop_newest", "drop_oldest", "conflate"])
rules = st.sampled_from(
    [
        {},
        {"max_lag_records": 4},
        {"max_lag_records": 8, "when_lagging": "conflate"},
        {"max_lag_ns": 100_000, "when_lagging": "conflate"},
        {"max_lag_ns": 1_000, "when_lagging": "skip_to_latest"},
        {"max_lag_records": 12, "when_lagging": "fail"},
    ]
)


class Held(Strategy):
    """Waits in each call until it is let go, and raises when it is told to."""

    gate: threading.Event

    def on_start(self) -> None:
        self.count = 0
        self.doomed = False

    def take(self, count: int) -> None:
        self.count += count
        assert self.gate.wait(PATIENCE_S)
        if self.doomed:
            raise RuntimeError("by design")


class ByTick(Held):
    def on_tick(self, tick: Tick) -> None:
        self.take(1)


class ByBatch(Held):
    def on_batch(self, batch: TickBatch) -> None:
        self.take(len(batch))


class LiveMachine(RuleBasedStateMachine):
    steps = 0  # of all runs

    @initialize(
        chosen=st.tuples(policies, policies),
        strategies=st.lists(st.tuples(st.sampled_from([ByTick, ByBatch]), rules), min_size=1, max_size=3),
        slice_ticks=st.sampled_from([1, 3, 16, 256]),
    )
    def begin(self, chosen: tuple[str, str], strategies: list[Any], slice_ticks: int) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.run = TickDispatcher([{"id": name} for name in INSTRUMENTS], live="park", slice_ticks=slice_ticks)
        self.held: list[Held] = []
        for number, (form, lag) in enumerate(strategies):
            strategy = form(gate=self.gate)
            subscribed = INSTRUMENTS if number % 2 == 0 else INSTRUMENTS[:2]
            self.run.register(strategy, f"s{number}", instruments=subscribed, max_ticks=4, **lag)
            self.held.append(strategy)
        feeds = [
            self.run.live_feed(name, policy=policy, capacity=CAPACITY, timeout_s=0.0)  # type: ignore[arg-type]
            for name, policy in zip("ab", chosen, strict=True)
        ]
        self.publishers = [feed.publisher() for feed in feeds]
        self.lanes = open_lanes(self.run._native)
        self.offered = [0, 0]
        self.thread = threading.Thread(target=self.run.run)
        self.thread.start()

    @rule(publisher=st.integers(0, 1), count=st.integers(0, 24))
    def publish(self, publisher: int, count: int) -> None:
        first = self.offered[publisher]
        records = np.zeros(count, QUOTE_DTYPE)
        records["ts_event"] = np.arange(first + 1, first + count + 1)
        records["instrument"] = np.arange(first, first + count) % len(INSTRUMENTS)
        records["kind"] = 1
        for name in ("bid", "ask", "bid_size", "ask_size"):
            records[name] = 1.0
        self.offered[publisher] += count
        with contextlib.suppress(errors.RingFull, errors.PublishTimeout):  # what was refused is in the account
            self.publishers[publisher].publish(records)

    @rule()
    def hold(self) -> None:
        self.gate.clear()

    @rule()
    def let_go(self) -> None:
        self.gate.set()

    @rule(number=st.integers(0, 2), kind=st.sampled_from([PAUSE, PAUSE, RESUME, RESUME, RESUME, STOP]))
    def command(self, number: int, kind: int) -> None:
        if number < len(self.held):
            self.lanes.push(0, number, b"", None, kind=kind)

    @rule(number=st.integers(0, 2))
    def doom(self, number: int) -> None:
        if number < len(self.held):
            self.held[number].doomed = True

    @invariant()
    def everything_adds_up(self) -> None:
        if not hasattr(self, "run"):
            return
        type(self).steps += 1
        is_free = self.gate.is_set()
        accounts = self.run.accounts(PATIENCE_S if is_free else 0.002)
        assert accounts.balanced, accounts
        for name, feed in accounts.feeds.items():
            handed_in = self.offered["ab".index(name)]
            assert feed.offered == handed_in if is_free else feed.offered <= handed_in
        for name, account in accounts.strategies.items():
            assert account.delivered <= self.held[int(name[1:])].count + 4  # a call that goes on is delivered

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        self.gate.set()
        for publisher in self.publishers:
            publisher.close()
        self.run.seal()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        accounts = self.run.accounts()
        assert accounts.balanced, accounts
        assert [accounts.feeds[name].offered for name in "ab"] == self.offered
        for name, account in accounts.strategies.items():
            assert account.pending == 0
            assert account.delivered == self.held[int(name[1:])].count


def explore(examples: int, steps: int) -> int:
    LiveMachine.steps = 0
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LiveMachine, settings=chosen)  # type: ignore[no-untyped-call]
    return LiveMachine.steps


def test_accounts_add_up_after_every_step() -> None:
    assert explore(25, 20) > 200


@pytest.mark.slow
def test_they_do_so_for_many_runs() -> None:
    assert explore(300, 40) > 5_000
