"""Compiled strategies on lanes of their own, over the Python face: records, orders, accounts, faults, replay."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import Strategy, errors
from tickrail.domain.lanes import Lane
from tickrail.orchestration.live import LiveRun

from .runs import EURUSD

pytest.importorskip("numba")

TICKS = tickrail.data.generate_ticks(20_000, seed=3, instruments=[EURUSD])
WHOLE = ("fail_at", "work", "work_at", "count", "last", "disorder", "updates", "timers")
STATE = np.dtype([*((name, "i8") for name in WHOLE), ("burnt", "f8")])


class Laned(Strategy):
    """Orders now and then, fails or is slow where it is told to."""

    fail_at: int = 0
    work: int = 0
    work_at: int = 0
    state_dtype = STATE

    def on_start(self) -> None:
        self.schedule_every(1_000_000)
        self.at_stop = -1

    def on_stop(self) -> None:
        self.at_stop = int(self.state["count"])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        state.count += 1
        if tick.ts_event < state.last:
            state.disorder += 1
        state.last = tick.ts_event
        if state.count == state.fail_at:
            state.burnt = 1 / (state.count - state.count)
        if state.work > 0 and (state.work_at == 0 or state.work_at == state.count):
            for number in range(state.work):
                state.burnt += 1.0 / (number + 1.0)
        if state.count % 100 == 0:
            out.target(tick.instrument, float(state.count // 100 % 2))

    @staticmethod
    def on_timer(timer: Any, state: Any, out: Any) -> None:
        state.timers += 1

    @staticmethod
    def on_order_update(update: Any, state: Any, out: Any) -> None:
        state.updates += 1


class Neighbour(Strategy):
    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1


def opened(strategy: Strategy, lane: Lane, **settings: Any) -> tuple[LiveRun, Neighbour, Any, list[bytes]]:
    """A run of both with a recorder, and what came from other threads."""
    neighbour = Neighbour()
    strategies = {"laned": strategy, "neighbour": neighbour}
    run = tickrail.open_live(strategies, [EURUSD], lanes={"laned": lane}, **settings)
    commands: list[bytes] = []
    run.record_commands(commands.append)
    return run, neighbour, run.record(), commands


def replayed(run: LiveRun, ticks: Any = TICKS, speed: Any = "max") -> tickrail.Result:
    run.replay(run.feed("recorded", timeout_s=60.0), ticks, speed=speed)
    run.seal()
    return run.run()


def again(strategy: Strategy, recorder: Any, commands: list[bytes], lane: Lane) -> tickrail.Result:
    strategies = {"laned": strategy, "neighbour": Neighbour()}
    return tickrail.backtest(
        strategies, recorder.finish(), lanes={"laned": lane}, commands=b"".join(commands), slice_ticks=256
    )


def test_a_lane_has_everything_in_order_and_a_replay_decides_alike() -> None:
    strategy, lane = Laned(), Lane(capacity=1_024)
    run, neighbour, recorder, commands = opened(strategy, lane)
    result = replayed(run)
    assert (result.status, result.ticks, neighbour.count) == ("complete", 20_000, 20_000)
    state = strategy.snapshot()
    assert (state["count"], state["disorder"]) == (20_000, 0)
    assert len(result.orders) == 200
    assert state["updates"] > 0
    assert state["timers"] > 0
    assert strategy.at_stop == 20_000, "hooks in Python see the state at rest"
    seen = run.stats().strategy("laned").lane
    assert seen is not None
    assert (seen.offered, seen.handled, seen.lost, seen.pending) == (20_000, 20_000, 0, 0)
    assert seen.asked == 200
    assert result.stats["lanes"]["laned"] == seen.to_dict()
    second = again(Laned(), recorder, commands, lane)
    assert second.digest == result.digest
    assert second.fills.tobytes() == result.fills.tobytes()
    assert "notes" not in second.stats


def test_a_lossy_lane_keeps_nobody_waiting_and_counts_what_it_lost() -> None:
    strategy = Laned(work=20_000)  # some 20 us a tick
    run, neighbour, recorder, commands = opened(strategy, Lane(policy="lossy", capacity=64))
    result = replayed(run)
    assert neighbour.count == 20_000
    lane = run.stats().strategy("laned").lane
    assert lane is not None
    assert (lane.offered, lane.pending, lane.waits) == (20_000, 0, 0)
    assert lane.handled + lane.lost == 20_000
    assert lane.lost > 0
    assert lane.gaps > 0
    assert strategy.snapshot()["count"] == lane.handled
    assert strategy.snapshot()["disorder"] == 0
    assert result.strategies[0].delivered == 20_000, "what the loop handed over; the lane's account says the rest"
    assert again(Laned(work=20_000), recorder, commands, Lane()).digest == result.digest


def test_what_it_raises_fails_it_alone_with_the_tick_and_the_exception() -> None:
    run, neighbour, recorder, commands = opened(Laned(fail_at=5_000), Lane())
    result = replayed(run)
    (error,) = result.errors
    assert (error.strategy, error.handler, error.type) == ("laned", "on_quote", "ZeroDivisionError")
    assert error.tick is not None
    assert error.tick.ts_event == TICKS[4_999].ts_event
    assert (result.status, neighbour.count, result.strategies[0].state) == ("complete", 20_000, "FAILED")
    second = again(Laned(fail_at=5_000), recorder, commands, Lane())
    assert second.digest == result.digest
    assert second.errors[0].tick is not None
    assert second.errors[0].tick.ts_event == error.tick.ts_event


def test_a_lane_that_stands_still_fails_and_holds_nobody_up_for_long() -> None:
    strategy = Laned(work=2_000_000_000, work_at=100)  # seconds in one call
    run, neighbour, _, _ = opened(strategy, Lane(capacity=64, timeout_s=0.2))
    began = time.monotonic()
    result = replayed(run, TICKS[:5_000])
    assert time.monotonic() - began < 20
    assert neighbour.count == 5_000
    (error,) = result.errors
    assert "made no room for 0.2 s" in error.message
    assert result.stats["lanes"]["laned"]["abandoned"] in (True, False)  # it may still end before the run does


class Waiter(Strategy):
    """Waits, every 2,000 ticks, until somebody has looked at the lane twice more."""

    def on_start(self) -> None:
        self.count = 0
        self.looks = threading.Semaphore(0)

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.count % 2_000 == 0:
            while self.looks.acquire(blocking=False):
                pass
            for _ in range(2):
                assert self.looks.acquire(timeout=30)


def test_its_state_is_whole_for_who_looks_while_it_goes_on() -> None:
    strategy, waiter = Laned(work=200), Waiter()
    strategies = {"laned": strategy, "waiter": waiter}
    run = tickrail.open_live(strategies, [EURUSD], lanes={"laned": Lane(capacity=1_024)})
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            state = strategy.snapshot()
            seen.append((int(state["count"]), int(state["last"])))
            if hasattr(waiter, "looks"):
                waiter.looks.release()
            time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        result = replayed(run)
    finally:
        ended.set()
        looking.join()
    assert not result.errors
    assert seen == sorted(seen)
    assert len(set(seen)) >= 10, "a lane of 1,024 is never further behind than that"
    assert all(last == (TICKS[count - 1].ts_event if count else 0) for count, last in seen)


def test_it_is_measured_on_its_lane() -> None:
    run, _, _, _ = opened(Laned(work=2_000), Lane(), sample_every=1)
    result = replayed(run)
    row = run.stats().strategy("laned")
    assert row.handler is not None
    assert row.latency is not None
    assert row.handler.p50_ns > 500, "the handler's own time, and not that of handing over"
    assert result.stats["measured"]["laned"]["latency"]["count"] == row.latency.count
    summary = result.summary()
    for part in ("tick to handler", "lane lost", "p50", "p99", "lag"):
        assert part in summary
    assert max(map(len, summary.splitlines())) <= 100


def test_a_backtest_has_no_lanes_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "tickrail")
    laned = tickrail.backtest({"laned": Laned()}, TICKS, lanes={"laned": Lane()})
    plain = tickrail.backtest({"laned": Laned()}, TICKS)
    assert laned.digest == plain.digest
    assert laned.stats["notes"] == ["a backtest has no lanes: laned was called by the loop"]
    assert "note: a backtest has no lanes" in laned.summary()
    assert "a backtest has no lanes" in caplog.text
    assert "notes" not in plain.stats


def test_a_recording_with_lanes_is_not_run_as_if_it_had_none() -> None:
    run, _, recorder, commands = opened(Laned(), Lane())
    replayed(run, TICKS[:1_000])
    strategies = {"laned": Laned(), "neighbour": Neighbour()}
    with pytest.raises(errors.RunFailed, match="recorded"):
        tickrail.backtest(strategies, recorder.finish(), commands=b"".join(commands))
    with pytest.raises(errors.DataError, match="with the recording of their run"):
        tickrail.backtest({"laned": Laned()}, TICKS, commands=b"".join(commands))


def test_what_can_have_no_lane_is_refused() -> None:
    def attempt(strategy: Strategy, name: str = "laned", **lane: Any) -> None:
        tickrail.open_live({"laned": strategy}, [EURUSD], lanes={name: Lane(**lane)})

    with pytest.raises(errors.ParameterError, match="Neighbour cannot have a lane: its handlers are Python"):
        attempt(Neighbour())
    with pytest.raises(errors.ParameterError, match="did you mean 'laned'"):
        attempt(Laned(), "lane")
    with pytest.raises(ValueError, match="processor 65000 cannot be had"):
        attempt(Laned(), processor=65_000)
    for wrong in ({"capacity": 3}, {"policy": "hope"}, {"timeout_s": 0.0}, {"processor": -1}, {"colour": "red"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Lane(**wrong)
