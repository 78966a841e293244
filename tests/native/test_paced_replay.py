"""Recorded ticks at their own pace, and faster."""

from __future__ import annotations

from typing import Any

import pytest

from tickrail import Strategy, Tick, errors, open_live

from .runs import EURUSD, array

MS = 1_000_000


class Taken(Strategy):
    """Notes what comes and when; ends the run after so many ticks."""

    most: int

    def on_start(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_tick(self, tick: Tick) -> None:
        self.seen.append((tick.ts_event, self.now_ns))
        if len(self.seen) == self.most:
            self.end()


def replayed(times: list[int], speed: Any, most: int | None = None) -> tuple[Taken, Any]:
    strategy = Taken(most=len(times) if most is None else most)
    run = open_live(strategy, [EURUSD])
    strategy.end = run.request_stop
    replay = run.replay(run.feed("replayed"), array(times), speed=speed)
    assert run.run().ok
    run.close()
    assert replay.join(60)
    return strategy, replay


@pytest.mark.parametrize("speed", [1.0, 10, 100.0])
def test_each_tick_comes_when_its_time_has_come(speed: float) -> None:
    times = [1_000_000 + int(number * 5 * MS * speed) for number in range(20)]
    strategy, replay = replayed(times, speed)
    assert [ts for ts, _ in strategy.seen] == times, "complete and in order"
    began = strategy.seen[0][1]
    # The clock of a step may be that of the slice before, and the first tick may be late: both by little against 95 ms.
    assert all(now - began >= (ts - times[0]) / speed - 50 * MS for ts, now in strategy.seen), "not early"
    assert strategy.seen[-1][1] - began >= 45 * MS
    assert replay.published == 20
    assert replay.error is None


def test_at_full_speed_nothing_is_waited_for() -> None:
    hour = 3_600_000 * MS
    strategy, replay = replayed([number * hour for number in range(1, 5_001)], "max")
    assert [ts for ts, _ in strategy.seen] == [number * hour for number in range(1, 5_001)]
    assert replay.published == 5_000


def test_it_stops_at_once_where_the_next_tick_is_an_hour_away() -> None:
    hour = 3_600_000 * MS
    run = open_live(Taken(most=1), [EURUSD])
    replay = run.replay(run.feed("replayed"), array([hour, 2 * hour]), speed=1.0)
    replay.stop()
    assert replay.join(60)
    assert replay.published <= 1
    assert not replay.is_alive


def test_the_end_of_the_run_ends_it() -> None:
    times = [1 + number * MS for number in range(100_000)]
    strategy, replay = replayed(times, 1.0, most=5)
    assert len(strategy.seen) >= 5
    assert replay.published < len(times)
    assert replay.error is None


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), float("inf"), "fast", True])
def test_a_speed_that_is_none_is_refused(speed: Any) -> None:
    run = open_live(Taken(most=1), [EURUSD])
    with pytest.raises(errors.ParameterError, match="expected a number above zero, or 'max'"):
        run.replay(run.feed("replayed"), array([1]), speed=speed)


def test_the_statistics_of_a_live_run_say_what_waited() -> None:
    strategy = Taken(most=2_000)
    run = open_live(strategy, [EURUSD], sample_every=1)
    strategy.end = run.request_stop
    run.replay(run.feed("replayed"), array(range(1, 2_001)), speed="max")
    run.run()
    stats = run.stats()
    (taken,) = stats.strategies
    assert taken.handler is not None
    assert taken.latency is not None
    assert taken.latency.count == taken.handler.count
    wait = stats.feed("replayed").wait
    assert wait is not None
    assert wait.count >= 1
    assert stats.wall_jumps == 0
    assert stats.drift_ns is not None
    assert abs(stats.drift_ns) < 60_000 * MS
