"""The accounts of a live run after every step: publishers, strategies that are held, paused, stopped, and that fail.

Hypothesis chooses policies, rules for lag, and what happens; the loop runs on a thread of its own, as for users.
That the equations of an account hold says little: some of its sums are made of their parts. So each feed is held
against a plain model of itself, which knows what was handed in, what exceptions said of it, and what a strategy
without any rule has seen.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tickrail import QUOTE_DTYPE, Strategy, Tick, TickBatch, TickDispatcher, errors
from tickrail._native import open_lanes
from tickrail.report.accounts import Accounts, FeedAccount

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


class Witness(Strategy):
    """Sees everything, before all others, and never waits: the numbers of the records, by feed."""

    def on_start(self) -> None:
        self.seen: tuple[list[int], list[int]] = ([], [])

    def on_tick(self, tick: Tick) -> None:
        self.seen[int(tick.ask) - 2].append(tick.ts_event)


@dataclass
class Plain:
    """A feed as a plain list has it."""

    policy: str
    offered: int = 0
    refused: int = 0
    invalid: int = 0
    accepted: list[int] = field(default_factory=list)

    def hand_in(self, count: int, bad: int, taken: int) -> None:
        """``count`` records came, the first ``taken`` were dealt with; each ``bad``-th breaks a rule (0: none)."""
        numbers = range(self.offered + 1, self.offered + taken + 1)
        good = [number for number in numbers if not (bad and number % bad == 0)]
        self.offered += count
        self.refused += count - taken
        self.invalid += taken - len(good)
        self.accepted += good

    def holds(self, account: FeedAccount) -> None:
        """``account`` says the same of what came in."""
        assert (account.offered, account.refused, account.rejected) == (
            self.offered,
            self.refused,
            self.refused + self.invalid,
        )
        assert account.published == len(self.accepted)
        assert account.invalid.get("price_not_finite", 0) == self.invalid
        assert (account.made, account.duplicates, account.rate_limited, account.backwards) == (0, 0, 0, 0)

    def explains(self, seen: list[int], account: FeedAccount) -> None:
        """Nothing waits: what was ``seen`` is what the account says was taken, and the rest went as the policy says."""
        lost = len(self.accepted) - len(seen)
        assert (account.taken, account.pending) == (len(seen), 0)
        by_policy = {"drop_newest": account.dropped_newest, "drop_oldest": account.dropped_oldest}
        by_policy["conflate"] = account.conflated
        assert lost == by_policy.pop(self.policy, 0)
        assert not any(by_policy.values())
        assert len(set(seen)) == len(seen) and set(seen) <= set(self.accepted)
        if self.policy != "conflate":
            assert seen == sorted(seen)
        if self.policy == "drop_oldest":
            assert seen[-1:] == self.accepted[-1:], "the newest always comes"
        if self.policy == "conflate":
            for instrument in range(len(INSTRUMENTS)):
                mine = [number for number in seen if (number - 1) % len(INSTRUMENTS) == instrument]
                offered = [number for number in self.accepted if (number - 1) % len(INSTRUMENTS) == instrument]
                assert mine == sorted(mine) and mine[-1:] == offered[-1:], "the newest of each instrument comes"


class LiveMachine(RuleBasedStateMachine):
    steps = 0  # of all runs
    settled = 0  # of these, those in which nothing waited, and what was seen could be compared

    @initialize(
        chosen=st.tuples(policies, policies),
        strategies=st.lists(st.tuples(st.sampled_from([ByTick, ByBatch]), rules), min_size=1, max_size=3),
        slice_ticks=st.sampled_from([1, 3, 16, 256]),
    )
    def begin(self, chosen: tuple[str, str], strategies: list[Any], slice_ticks: int) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.run = TickDispatcher([{"id": name} for name in INSTRUMENTS], live="park", slice_ticks=slice_ticks)
        self.witness = Witness()
        self.run.register(self.witness, "witness", instruments=INSTRUMENTS)
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
        self.plain = [Plain(policy) for policy in chosen]
        self.thread = threading.Thread(target=self.run.run)
        self.thread.start()

    @rule(publisher=st.integers(0, 1), count=st.integers(0, 24), bad=st.sampled_from([0, 0, 0, 2, 7]))
    def publish(self, publisher: int, count: int, bad: int) -> None:
        plain = self.plain[publisher]
        first = plain.offered
        records = np.zeros(count, QUOTE_DTYPE)
        records["ts_event"] = np.arange(first + 1, first + count + 1)
        records["instrument"] = np.arange(first, first + count) % len(INSTRUMENTS)
        records["kind"] = 1
        records["bid"] = records["bid_size"] = records["ask_size"] = 1.0
        records["ask"] = 2 + publisher
        if bad:
            records["bid"][records["ts_event"] % bad == 0] = np.nan
        taken = count
        try:
            self.publishers[publisher].publish(records)
        except (errors.RingFull, errors.PublishTimeout) as error:
            assert plain.policy == ("reject" if isinstance(error, errors.RingFull) else "block")
            assert error.offered == count
            taken = error.taken
        plain.hand_in(count, bad, taken)

    @rule()
    def hold(self) -> None:
        self.gate.clear()

    @rule()
    def let_go(self) -> None:
        self.gate.set()

    @rule(number=st.integers(0, 2), kind=st.sampled_from([PAUSE, PAUSE, RESUME, RESUME, RESUME, STOP]))
    def command(self, number: int, kind: int) -> None:
        if number < len(self.held):
            self.lanes.push(0, number + 1, b"", None, kind=kind)  # the witness is the first

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
        if is_free:
            accounts = self.at_rest()
        for name, feed in accounts.feeds.items():
            plain = self.plain["ab".index(name)]
            assert feed.offered <= plain.offered and feed.published <= len(plain.accepted)
            if is_free:
                plain.holds(feed)
        for number, one in enumerate(self.held):
            assert accounts.strategies[f"s{number}"].delivered <= one.count + 4  # a call that goes on is delivered

    def at_rest(self) -> Accounts:
        """Nobody is held: the loop comes to its rest, and has shown all that it took."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            accounts = self.run.accounts(PATIENCE_S)
            assert accounts.balanced, accounts
            if not any(feed.pending for feed in accounts.feeds.values()):
                break
            assert time.monotonic() < deadline, accounts
        type(self).settled += 1
        for feed, plain, seen in zip(accounts.feeds.values(), self.plain, self.witness.seen, strict=True):
            plain.explains(seen, feed)
        return accounts

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
        for name, plain, seen in zip("ab", self.plain, self.witness.seen, strict=True):
            plain.holds(accounts.feeds[name])
            plain.explains(seen, accounts.feeds[name])
            assert accounts.by_feed[name]["witness"].delivered == len(seen)
        for number, one in enumerate(self.held):
            account = accounts.strategies[f"s{number}"]
            assert (account.pending, account.delivered) == (0, one.count)


def explore(examples: int, steps: int) -> int:
    LiveMachine.steps = LiveMachine.settled = 0
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
    assert LiveMachine.settled > 50


#: ``make fuzz`` makes more.
RUNS = int(os.environ.get("LIVE_RUNS", "120"))


@pytest.mark.slow
@pytest.mark.timeout(60 + RUNS)
def test_they_do_so_for_many_runs() -> None:
    assert explore(RUNS, 40) > 15 * RUNS
