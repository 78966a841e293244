"""The accounts of a run: read at one moment, from anywhere, while the loop goes on."""

from __future__ import annotations

import threading

import pytest

from tickrail import Strategy, Tick, TickDispatcher
from tickrail.report.accounts import Accounts, StrategyAccount

from .runs import EURUSD, array

PATIENCE_S = 30.0


def dispatcher(count: int, slice_ticks: int = 64) -> TickDispatcher:
    made = TickDispatcher([{"id": EURUSD}], slice_ticks=slice_ticks)
    made.feed("feed", array(range(1, count + 1)))
    return made


class Counts(Strategy):
    def on_start(self) -> None:
        self.seen = 0

    def on_tick(self, tick: Tick) -> None:
        self.seen += 1


class Looks(Counts):
    """Looks at the accounts from within its handler."""

    run: TickDispatcher

    def on_tick(self, tick: Tick) -> None:
        super().on_tick(tick)
        self.looked = self.run.accounts(PATIENCE_S)


class Holds(Counts):
    """Stays in its handler at the hundredth tick until it is let go."""

    entered: threading.Event
    release: threading.Event

    def on_tick(self, tick: Tick) -> None:
        super().on_tick(tick)
        if self.seen == 100:
            self.entered.set()
            assert self.release.wait(PATIENCE_S)


def test_before_the_run_there_is_nothing_and_after_it_everything() -> None:
    run = dispatcher(1_000)
    run.register(Counts(), "counts")
    assert run.accounts() == Accounts(strategies={})
    run.run()
    accounts = run.accounts()
    assert accounts.balanced
    assert (accounts.inputs, accounts.position) == (1_000, run.result().stats["steps"])
    assert accounts.strategies["counts"] == StrategyAccount(state="STOPPED", published=1_000, delivered=1_000)
    assert run.result().strategies[0].accounts == accounts.strategies["counts"].to_dict()


def test_another_thread_reads_them_while_the_loop_goes_on() -> None:
    run = dispatcher(300_000)
    run.register(Counts(), "counts")
    taken: list[Accounts] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            taken.append(run.accounts(PATIENCE_S))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run.run()
    over.set()
    watcher.join(PATIENCE_S)
    assert not watcher.is_alive()
    assert all(accounts.balanced for accounts in taken)
    positions = [accounts.position for accounts in taken]
    assert positions == sorted(positions)
    assert all(accounts.strategies["counts"].delivered == accounts.inputs for accounts in taken if accounts.strategies)


def test_a_handler_that_keeps_the_loop_keeps_nobody_who_looks() -> None:
    entered, release = threading.Event(), threading.Event()
    run = dispatcher(1_000)
    run.register(Holds(entered=entered, release=release), "holds")
    seen: list[Accounts] = []

    def look() -> None:
        assert entered.wait(PATIENCE_S)
        seen.append(run.accounts(0.01))
        release.set()

    looker = threading.Thread(target=look)
    looker.start()
    run.run()
    looker.join(PATIENCE_S)
    assert seen[0].balanced
    assert seen[0].inputs < 100
    assert run.accounts().inputs == 1_000


def test_from_a_handler_they_are_the_last_that_were_taken_and_nobody_waits() -> None:
    run = dispatcher(200)
    strategy = Looks(run=run)
    run.register(strategy, "looks")
    run.run()
    assert strategy.seen == 200
    assert 64 <= strategy.looked.inputs < 200
    assert strategy.looked.balanced


def test_between_two_pulls_they_are_exact() -> None:
    run = dispatcher(100)
    run.register(Counts(), "counts")
    run.register_pull(Counts(), "pull")
    for number in range(1, 51):
        assert run.pull() is not None
        accounts = run.accounts(PATIENCE_S)
        assert accounts.balanced
        assert {account.delivered for account in accounts.strategies.values()} == {number}
    run.finish()
    assert run.accounts().strategies["pull"] == StrategyAccount(state="STOPPED", published=50, delivered=50)


@pytest.mark.parametrize(("end", "reason"), [("pause", "paused"), ("raise", "failed"), ("return", "stopped")])
def test_skipped_ticks_say_why(end: str, reason: str) -> None:
    class Ends(Strategy):
        def ticks(self):  # type: ignore[no-untyped-def]
            for _ in range(10):
                yield
            if end == "raise":
                raise ValueError("by design")

    run = dispatcher(30)
    run.register(Ends() if end != "pause" else Counts(), "ends")
    run.register_pull(Counts(), "pull")
    for number in range(30):
        if number == 10 and end == "pause":
            run._native.operate(0, "pause", "no_ticks")
        run.pull()
    account = run.accounts().strategies["ends"]
    assert account.balanced
    assert (account.delivered + account.skipped, getattr(account, reason)) == (30, account.skipped)
    assert account.skipped in {20, 19}
    run.finish()
