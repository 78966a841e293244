"""The clock port: one contract, kept by the clock of a simulation and by that of a live run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tickrail import Strategy, TickDispatcher, TimerEvent, errors
from tickrail.orchestration.live import open_live
from tickrail.ports.clock import Clock

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


Run = Callable[[Callable[[Any], object]], Case]


def simulated(begin: Callable[[Any], object]) -> Case:
    run, case = TickDispatcher([{"id": INSTRUMENT}]), Case()
    run.register(case.prepare(begin, run.request_stop), "case")
    run.run_until(SIM_NS)
    run.finish()
    return settled(run.result(), case)


def live(begin: Callable[[Any], object]) -> Case:
    case = Case()
    run = open_live(case, [INSTRUMENT])
    case.prepare(begin, run.request_stop)
    return settled(run.run(), case)


def settled(result: Any, case: Case) -> Case:
    if result.errors:
        raise result.errors[0].exception
    return case


@pytest.fixture(params=[simulated, live], ids=["sim", "live"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield request.param


def test_every_strategy_is_the_port(run: Run) -> None:
    def begin(case: Any) -> None:
        case.is_clock = isinstance(case, Clock)
        case.end()

    assert run(begin).is_clock


def test_a_timer_fires_once_and_never_early(run: Run) -> None:
    def begin(case: Any) -> None:
        case.began = case.now_ns
        case.schedule_after(2 * MS)
        case.schedule_at(case.now_ns + MS)
        case.schedule_after(6 * MS, lambda _: case.end())

    case = run(begin)
    assert [event.due_ns - case.began for event in case.events] == [MS, 2 * MS]
    assert all(event.now_ns >= event.due_ns for event in case.events)
    assert [(event.count, event.missed, event.name) for event in case.events] == [(1, 0, None)] * 2


def test_equal_times_fire_in_the_order_in_which_they_were_set(run: Run) -> None:
    def begin(case: Any) -> None:
        case.order = []
        when = case.now_ns + MS
        for number in range(20):
            case.schedule_at(when, lambda _, number=number: case.order.append(number))
        case.schedule_at(when, lambda _: case.end())

    assert run(begin).order == list(range(20))


def test_a_repeating_timer_never_drifts_and_accounts_for_each_of_its_times(run: Run) -> None:
    def begin(case: Any) -> None:
        case.start = case.now_ns + MS
        case.schedule_every(MS, start_ns=case.start, end_ns=case.start + 20 * MS)
        case.schedule_after(30 * MS, lambda _: case.end())

    case = run(begin)
    assert all(event.due_ns == case.start + (event.count - 1) * MS for event in case.events)
    assert all(event.now_ns >= event.due_ns for event in case.events)
    assert sum(1 + event.missed for event in case.events) == case.events[-1].count == 20
    assert [event.now_ns for event in case.events] == sorted(event.now_ns for event in case.events)


def test_what_is_late_fires_once_for_all_and_counts_the_others(run: Run) -> None:
    """A handler that keeps the loop: in a simulation no time passes, live the times that have gone by become one."""

    def begin(case: Any) -> None:
        case.schedule_every(MS)
        case.schedule_after(0, lambda _: threading.Event().wait(0.05))
        case.schedule_after(80 * MS, lambda _: case.end())

    case = run(begin)
    counts = [event.count for event in case.events]
    assert counts == sorted(set(counts)), "no time fires twice"
    assert sum(1 + event.missed for event in case.events) == counts[-1]
    late = max(event.missed for event in case.events)
    assert late == 0 if run is simulated else late >= 40


def test_what_is_due_already_fires_in_the_next_step(run: Run) -> None:
    def begin(case: Any) -> None:
        case.order = []
        case.schedule_at(case.now_ns - 5, lambda _: case.order.append("past"))
        case.schedule_after(0, lambda _: (case.order.append("now"), case.schedule_after(0, last)))
        case.order.append("begin")

        def last(_: TimerEvent) -> None:
            case.order.append("from a callback")
            case.end()

    assert run(begin).order == ["begin", "past", "now", "from a callback"]


def test_cancelling_is_idempotent_by_handle_by_name_and_by_block(run: Run) -> None:
    def begin(case: Any) -> None:
        handle = case.schedule_after(MS)
        assert handle.cancel() and not handle.cancel()
        case.schedule_after(MS, name="named")
        assert case.cancel_timer("named") and not case.cancel_timer("named")
        with case.schedule_after(MS):
            pass
        beat = case.schedule_every(MS, lambda event: beat.cancel() if event.count >= 3 else None)
        case.schedule_after(30 * MS, lambda _: case.end())
        case.beat = beat

    case = run(begin)
    assert case.events == []
    assert case.beat.info() is None
    assert case.beat.cancel() is False


def test_names_and_the_listing(run: Run) -> None:
    def begin(case: Any) -> None:
        now = case.now_ns
        case.schedule_every(MS, name="beat", start_ns=now + 5 * MS, end_ns=now + 9 * MS)
        case.schedule_after(3 * MS, lambda _: case.end(), name="end")
        with pytest.raises(errors.TimerRefused, match="another timer of this name"):
            case.schedule_after(MS, name="beat")
        case.listed = [
            (one.name, one.due_ns - now, one.interval_ns, one.end_ns and one.end_ns - now, one.fired, one.missed)
            for one in case.timers()
        ]

    case = run(begin)
    assert case.listed == [("end", 3 * MS, None, None, 0, 0), ("beat", 5 * MS, MS, 9 * MS, 0, 0)]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda case: case.schedule_every(999), "interval_ns is 999: expected at least 1000"),
        (lambda case: case.schedule_after(-1), "delay_ns is -1"),
        (lambda case: case.schedule_every(MS, start_ns=case.now_ns - 7), "which is 7 ns before now"),
        (lambda case: case.schedule_every(MS, end_ns=case.now_ns + MS), "end_ns is"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_changes_nothing(
    run: Run, act: Callable[[Any], object], message: str
) -> None:
    def begin(case: Any) -> None:
        with pytest.raises(errors.TimerRefused, match=message):
            act(case)
        assert case.timers() == []
        case.end()

    run(begin)


def test_other_threads_are_refused(run: Run) -> None:
    def begin(case: Any) -> None:
        caught: list[BaseException] = []

        def elsewhere() -> None:
            for call in (lambda: case.now_ns, lambda: case.schedule_after(1), case.timers):
                try:
                    call()
                except errors.WrongThread as error:
                    caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(caught) == 3
        case.end()

    run(begin)


def test_the_clock_stands_still_within_a_step_and_never_goes_back(run: Run) -> None:
    def begin(case: Any) -> None:
        case.times = []

        def look(event: TimerEvent) -> None:
            first = case.now_ns
            threading.Event().wait(0.001)
            assert case.now_ns == first
            case.times.append(first)
            if event.count >= 10:
                case.end()

        case.schedule_every(MS, look)

    times = run(begin).times
    assert times == sorted(times)
