"""Supervision: what becomes of a strategy that fails, by the loop's clock, the same in every run."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import RuntimeBootstrapper
from tickrail._native import TickFileWriter
from tickrail.domain.supervision import HandlerLimits, Supervision
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import ParameterError
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.strategy.lifecycle import Operation

EURUSD = "EURUSD.SIM"
S = 1_000_000_000


class Failing(tickrail.Strategy):
    """Raises at the ticks whose time in seconds is listed."""

    at: tuple[int, ...] = ()
    on_stop_too: bool = False

    def on_start(self) -> None:
        self.seen: list[int] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen.append(tick.ts_event // S)
        if tick.ts_event // S in self.at:
            raise LookupError(str(tick.ts_event // S))

    def on_stop(self) -> None:
        if self.on_stop_too:
            raise LookupError("on_stop")


def array(seconds: int) -> tickrail.TickArray:
    records = np.zeros(seconds, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, seconds + 1) * S
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    records["bid_size"] = records["ask_size"] = 100.0
    return tickrail.TickArray.from_records(records, [EURUSD])


def run(
    make: Callable[[], tickrail.Strategy],
    rule: Supervision,
    *,
    seconds: int = 200,
    seed: int = 0,
    other: tickrail.Strategy | None = None,
) -> tuple[TickDispatcher, tickrail.Result]:
    dispatcher = TickDispatcher([{"id": EURUSD}], seed=seed)
    dispatcher.feed("feed", array(seconds))
    dispatcher.register(make(), "first", renew=make, supervision=rule)
    dispatcher.register(other or Failing(), "second")
    dispatcher.run()
    return dispatcher, dispatcher.result()


def test_by_default_a_failure_is_final_and_harms_nobody_else() -> None:
    dispatcher, result = run(lambda: Failing(at=(5,)), Supervision())
    assert (result.status, result.strategy("first").state, result.strategy("second").state) == (
        *("complete", "FAILED"),
        "STOPPED",
    )
    assert len(dispatcher.strategies["second"].seen) == 200  # type: ignore[attr-defined]
    assert "restarts" not in result.stats


def test_a_restart_comes_after_its_backoff_and_only_as_often_as_the_budget_allows() -> None:
    rule = Supervision(on_error="restart", backoff_ns=4 * S, max_backoff_ns=60 * S)
    dispatcher, result = run(lambda: Failing(at=(10, 50, 150)), rule)
    new = dispatcher.strategies["first"]
    assert result.strategy("first").state == "FAILED"
    assert [error.message for error in result.errors] == ["10", "50"], "the second failure came within a minute"
    (again,) = [change for change in result.changes if change.operation == "restart"]
    assert 12 * S <= again.ts_ns <= 14 * S
    assert again.cause == "supervision: restart 1"
    assert new.seen[0] == again.ts_ns // S + 1  # type: ignore[attr-defined]
    assert result.stats["restarts"] == {"first": 1}
    assert "restarted: first 1 times" in result.summary()
    assert (result.ok, result.failures) == (False, result.errors), "it failed for good"
    assert "complete, 2 failed" in result.summary()
    assert len(dispatcher.strategies["second"].seen) == 200  # type: ignore[attr-defined]


def test_the_budget_is_over_a_time_that_passes() -> None:
    rule = Supervision(on_error="restart", within_ns=20 * S, backoff_ns=0)
    dispatcher, result = run(lambda: Failing(at=(10, 40, 90)), rule)
    assert result.strategy("first").state == "STOPPED"
    assert result.stats["restarts"] == {"first": 3}
    assert [error.message for error in result.errors] == ["10", "40", "90"], "what was raised is told"
    assert (result.ok, result.failures) == (True, ())
    assert "complete, 3 failures made good by a restart" in result.summary()
    assert dispatcher.strategies["first"].seen[-1] == 200  # type: ignore[attr-defined]


def test_a_rerun_restarts_at_the_same_positions_and_the_seed_moves_them() -> None:
    rule = Supervision(on_error="restart", backoff_ns=30 * S)

    def digest(seed: int) -> tuple[str, int]:
        _, result = run(lambda: Failing(at=(10,)), rule, seed=seed)
        return result.digest, next(change.ts_ns for change in result.changes if change.operation == "restart")

    assert digest(1) == digest(1)
    assert digest(1)[1] != digest(2)[1]


def test_a_critical_strategy_that_stays_failed_stops_the_run() -> None:
    for rule in (
        Supervision(on_error="stop_runtime"),
        Supervision(critical=True),
        Supervision(on_error="restart", max_restarts=0, critical=True),
    ):
        dispatcher, result = run(lambda: Failing(at=(5,)), rule)
        assert (result.status, result.stop_reason, result.ok) == ("stopped", "strategy first failed", False)
        assert dispatcher.strategies["second"].seen == [1, 2, 3, 4, 5]  # type: ignore[attr-defined]
        assert result.strategy("second").state == "STOPPED"


def test_a_restart_that_fails_counts_too() -> None:
    made: list[Failing] = []

    def make() -> Failing:
        made.append(Failing(at=(5,)))
        if len(made) > 1:
            raise LookupError("no second one")
        return made[0]

    _, result = run(make, Supervision(on_error="restart", max_restarts=2, backoff_ns=S))
    assert [error.handler for error in result.errors] == ["on_tick", "restart", "restart"]
    assert result.strategy("first").state == "FAILED"


def test_what_fails_while_it_is_stopped_is_not_started_again() -> None:
    rule = Supervision(on_error="restart", backoff_ns=0)
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.feed("feed", array(20))

    def make() -> Failing:
        return Failing(on_stop_too=True)

    dispatcher.register(make(), "first", renew=make, supervision=rule)

    class Stopper(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if tick.ts_event == 5 * S:
                dispatcher.lives.stop("first")

    dispatcher.register(Stopper(), "second")
    dispatcher.run()
    result = dispatcher.result()
    assert [change.operation for change in result.changes if change.strategy == "first"] == [
        *("initialise", "start"),
        "fail",
    ]
    assert result.strategy("first").delivered == 5


class Paused(tickrail.Strategy):
    """Is paused by another at the second tick, fails at the fourth, and orders whenever it may."""

    by_itself: bool = False

    def on_start(self) -> None:
        self.told: list[str] = []
        self.buy(EURUSD, 1.0)

    def on_tick(self, tick: tickrail.Tick) -> None:
        if tick.ts_event == 2 * S and self.by_itself:
            self.pause()
        if tick.ts_event == 4 * S:
            raise LookupError("4")
        self.buy(EURUSD, 1.0)

    def on_pause(self) -> None:
        self.told.append("paused")
        self.buy(EURUSD, 1.0)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.told.append(update.status)


class Asks(tickrail.Strategy):
    """Asks for something of the first strategy, at a second each."""

    def __init__(self, asked: dict[int, Callable[[], object]]) -> None:
        super().__init__()
        self.asked = asked

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.asked.get(tick.ts_event // S, lambda: None)()


def paused_and_failed(
    make: Callable[[], Paused], asked: dict[int, str], mode: str = "no_new_orders"
) -> tuple[TickDispatcher, tickrail.Result]:
    """A run of which the second strategy asks for steps of the first one's life."""
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.feed("feed", array(12))
    rule = Supervision(on_error="restart", backoff_ns=2 * S, within_ns=60 * S)
    dispatcher.register(make(), "first", renew=make, supervision=rule)
    lives = dispatcher.lives
    ask = {
        "pause": lambda: lives.pause("first", mode=mode),  # type: ignore[arg-type]
        "resume": lambda: lives.resume("first"),
        "restart": lambda: lives.restart("first"),
        "fail": lambda: lives.ask("first", Operation.FAIL, cause="a test"),
    }
    dispatcher.register(Asks({at: ask[what] for at, what in asked.items()}), "second")
    dispatcher.run()
    return dispatcher, dispatcher.result()


@pytest.mark.parametrize("mode", ["no_new_orders", "no_ticks"])
def test_what_somebody_has_paused_stays_paused_when_supervision_restarts_it(mode: str) -> None:
    # Without ticks it has nothing to raise in: there somebody says that it has failed.
    dispatcher, result = paused_and_failed(Paused, {2: "pause", 4: "fail"}, mode)
    first = [change for change in result.changes if change.strategy == "first"]
    assert [(change.operation, change.mode) for change in first][2:-1] == [
        *(("pause", mode), ("fail", None), ("stop", None), ("restart", None)),
        *(("initialise", None), ("start", None), ("pause", mode)),
    ]
    assert first[-2].cause == "supervision: it was paused before"
    told = dispatcher.strategies["first"].told  # type: ignore[attr-defined]
    assert told[0] == "paused", "its hook is called"
    assert set(told[1:]) == {"REJECTED"}, "and what it orders in its hooks has no way out either"
    skipped = dispatcher.stats().strategy("first").account.paused
    assert skipped == 0 if mode == "no_new_orders" else skipped > 7, "it has no ticks then either, before and after"


def test_a_pause_that_was_taken_back_or_the_strategy_s_own_ends_with_the_failure() -> None:
    for make, asked in (
        (Paused, {2: "pause", 3: "resume"}),
        (lambda: Paused(by_itself=True), {}),
        (Paused, {2: "pause", 5: "restart"}),
    ):
        dispatcher, result = paused_and_failed(make, asked)
        operations = [change.operation for change in result.changes if change.strategy == "first"]
        assert operations[operations.index("fail") :] == ["fail", "stop", "restart", "initialise", "start", "stop"]
        assert "FILLED" in dispatcher.strategies["first"].told  # type: ignore[attr-defined]


def test_an_object_that_was_handed_over_cannot_be_restarted() -> None:
    dispatcher = TickDispatcher([{"id": EURUSD}])
    with pytest.raises(ParameterError, match="lives once"):
        dispatcher.register(Failing(), "first", supervision=Supervision(on_error="restart"))


def test_slow_handlers_are_counted_and_named() -> None:
    class Slow(tickrail.Strategy):
        def on_quote(self, tick: tickrail.Tick) -> None:
            if tick.ts_event in (3 * S, 7 * S):
                time.sleep(0.08)

    limits = HandlerLimits(slow_ns=20_000_000, deadline_ns=60 * S)
    dispatcher = TickDispatcher([{"id": EURUSD}], handler_limits=limits)
    dispatcher.feed("feed", array(10))
    dispatcher.register(Slow(), "slow")
    dispatcher.run()
    (overrun,) = dispatcher.stats().overruns
    assert (overrun.strategy, overrun.handler, overrun.slow, overrun.stuck) == ("slow", "on_quote", 2, 0)
    assert overrun.slowest_ns > 60_000_000
    assert "slow: slow.on_quote: 2 calls" in dispatcher.result().summary()


def test_a_stuck_handler_is_told_of_and_in_a_library_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    class Tells(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    class Stuck(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if tick.ts_event == 3 * S:
                assert told.wait(30)

    limits = HandlerLimits(slow_ns=20_000_000, deadline_ns=50_000_000)
    dispatcher = TickDispatcher([{"id": EURUSD}], handler_limits=limits)
    dispatcher.feed("feed", array(10))
    dispatcher.register(Stuck(), "stuck")
    logger, tells = logging.getLogger("tickrail.handlers"), Tells()
    logger.addHandler(tells)
    try:
        dispatcher.run()
    finally:
        logger.removeHandler(tells)
    assert dispatcher.result().ok
    (overrun,) = dispatcher.stats().overruns
    assert overrun.stuck == 1
    (record,) = [record for record in caplog.records if record.name == "tickrail.handlers"]
    assert "strategy stuck: on_tick has not returned" in record.getMessage()
    assert "told.wait(30)" in record.getMessage()


CONFIG = """
    [strategies.one]
    class = "failing:Failing"
    on_error = "restart"
    restart_backoff_ns = 2
    [feeds.eurusd]
    path = "data/eurusd.ticks"
"""
MODULE = """
    from tickrail import Strategy

    class Failing(Strategy):
        def on_start(self):
            self.seen = 0

        def on_tick(self, tick):
            self.seen += 1
            if tick.ts_event == 5:
                raise LookupError
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"config/test/all.toml": CONFIG, "failing.py": MODULE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "data").mkdir()
    records: Any = np.zeros(20, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 21)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.1
    with TickFileWriter(tmp_path / "data" / "eurusd.ticks") as writer:
        writer.append_ticks(tickrail.TickArray.from_records(records, [EURUSD]))
        writer.commit()
    return tmp_path


def test_a_configured_strategy_is_restarted(project: Path) -> None:
    with RuntimeBootstrapper("test", root=project / "config", environ={}).bootstrap() as runtime:
        result = runtime.run()
        assert runtime.dispatcher.strategies["one"].seen in (13, 14)  # type: ignore[attr-defined]
    assert result.stats["restarts"] == {"one": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("restarts", "code", "state"), [(1, 0, "STOPPED"), (0, 1, "FAILED")])
def test_the_command_exits_by_how_it_ended_and_tells_what_was_raised(
    project: Path, restarts: int, code: int, state: str
) -> None:
    more = ["--set", f"strategies.one.max_restarts={restarts}"]
    command = [sys.executable, "-m", "tickrail", "run", "--env", "test", "--json", *more]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    said = json.loads(done.stdout)
    assert (said["ok"], said["failures"], said["strategies"][0]["state"]) == (code == 0, code, state)
    assert [error["type"] for error in said["errors"]] == ["LookupError"]
