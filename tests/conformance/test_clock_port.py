"""The clock port: one contract, kept by the clock of a simulation, by that of a live run, and by the fake one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tickrail import Strategy, TickDispatcher, TimerEvent, errors, testing
from tickrail.orchestration.live import open_live
from tickrail.testing.conformance import ClockSuite

INSTRUMENT = "EURUSD.SIM"
MS = 1_000_000
#: How far a simulation goes: no case asks for more.
SIM_NS = 60_000 * MS


class Case(Strategy):
    """Does what the test says at its start, and ends the run when the test says so."""

    def on_start(self) -> None:
        self.events: list[TimerEvent] = []
        self.begin(self)

    def on_timer(self, event: TimerEvent) -> None:
        self.events.append(event)

    def prepare(self, begin: Callable[[Any], object], end: Callable[[], None]) -> Case:
        self.begin, self.end = begin, end
        return self


class TestSimClock(ClockSuite):
    def run(self, begin: Callable[[Any], object]) -> Case:
        run, case = TickDispatcher([{"id": INSTRUMENT}]), Case()
        run.register(case.prepare(begin, run.request_stop), "case")
        run.run_until(SIM_NS)
        run.finish()
        return settled(run.result(), case)


class TestLiveClock(ClockSuite):
    is_simulated = False

    def run(self, begin: Callable[[Any], object]) -> Case:
        case = Case()
        run = open_live(case, [INSTRUMENT])
        case.prepare(begin, run.request_stop)
        return settled(run.run(), case)


def settled(result: Any, case: Case) -> Case:
    if result.errors:
        raise result.errors[0].exception
    return case


class FakeCase(testing.FakeClock):
    is_over = False

    @property
    def events(self) -> list[TimerEvent]:
        return self.fired

    def end(self) -> None:
        self.is_over = True


class TestFakeClock(ClockSuite):
    def run(self, begin: Callable[[Any], object]) -> FakeCase:
        case = FakeCase()
        begin(case)
        passed_ns = 0
        while not case.is_over:
            assert passed_ns < SIM_NS, "the case does not end"
            case.advance(100_000)
            passed_ns += 100_000
        return case


def test_a_test_turns_the_fake_clock() -> None:
    clock = testing.FakeClock(start_ns=1_000)
    assert clock.now_ns == 1_000
    beat, seen = clock.schedule_every(1_000, name="beat"), list[int]()
    clock.schedule_at(3_500, lambda event: seen.append(event.due_ns))
    assert [event.due_ns for event in clock.advance(2_000)] == [2_000, 3_000]
    assert (clock.now_ns, seen) == (3_000, [])
    assert clock.advance_to(3_999) == []
    assert seen == [3_500]
    assert [event.name for event in clock.advance_to(4_000)] == ["beat"]
    assert [event.due_ns for event in clock.fired] == [2_000, 3_000, 4_000]
    assert beat.cancel()
    assert clock.timers() == []
    with pytest.raises(ValueError, match="the clock never runs backwards"):
        clock.advance_to(3_000)
    assert [call.method for call in clock.calls] == ["schedule_every", "schedule_at"]


def test_what_a_callback_raises_reaches_the_test_and_faults_can_be_planned() -> None:
    clock = testing.FakeClock()
    clock.faults.on("schedule_after", errors.TimerRefused("too many"))
    with pytest.raises(errors.TimerRefused, match="too many"):
        clock.schedule_after(1)
    assert clock.timers() == []

    def raises(event: TimerEvent) -> None:
        raise LookupError("no such account")

    clock.schedule_after(5_000, raises)
    clock.advance(4_999)
    with pytest.raises(LookupError, match="no such account"):
        clock.advance(10)
    clock.close()
    clock.close()
