"""What every clock does: that of a strategy, in a simulation and live, and a fake one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

from tickrail._native import TimerEvent
from tickrail.errors import TimerRefused, WrongThread
from tickrail.ports.clock import Clock

__all__ = ["ClockSuite"]

MS: Final = 1_000_000


class ClockSuite:
    """Derive, and say how a clock is made and turned.

    Attributes:
        is_simulated: Whether time stands still while a callback works, so that nothing is ever late.
    """

    is_simulated = True

    def run(self, begin: Callable[[Any], object]) -> Any:
        """Make a case, call ``begin`` with it where timers may be set, and let time pass until its ``end()`` is called.

        A case is a clock that takes further attributes, with ``events``, a list of the events of timers without a
        callback, and ``end()``. What callbacks raise is raised here.

        Returns:
            The case.
        """
        raise NotImplementedError

    def test_it_is_the_port(self) -> None:
        """Every member of it."""

        def begin(case: Any) -> None:
            case.is_clock = isinstance(case, Clock)
            case.end()

        assert self.run(begin).is_clock

    def test_a_timer_fires_once_and_never_early(self) -> None:
        """In the order of the times, whatever the order in which they were set."""

        def begin(case: Any) -> None:
            case.began = case.now_ns
            case.schedule_after(2 * MS)
            case.schedule_at(case.now_ns + MS)
            case.schedule_after(6 * MS, lambda _: case.end())

        case = self.run(begin)
        assert [event.due_ns - case.began for event in case.events] == [MS, 2 * MS]
        assert all(event.now_ns >= event.due_ns for event in case.events)
        assert [(event.count, event.missed, event.name) for event in case.events] == [(1, 0, None)] * 2

    def test_equal_times_fire_in_the_order_in_which_they_were_set(self) -> None:
        """Twenty at one time."""

        def begin(case: Any) -> None:
            case.order = []
            when = case.now_ns + MS
            for number in range(20):
                case.schedule_at(when, lambda _, number=number: case.order.append(number))
            case.schedule_at(when, lambda _: case.end())

        assert self.run(begin).order == list(range(20))

    def test_a_repeating_timer_never_drifts_and_accounts_for_each_of_its_times(self) -> None:
        """Each time is the first plus whole intervals; what is late is counted."""

        def begin(case: Any) -> None:
            case.start = case.now_ns + MS
            case.schedule_every(MS, start_ns=case.start, end_ns=case.start + 20 * MS)
            case.schedule_after(30 * MS, lambda _: case.end())

        case = self.run(begin)
        assert all(event.due_ns == case.start + (event.count - 1) * MS for event in case.events)
        assert all(event.now_ns >= event.due_ns for event in case.events)
        assert sum(1 + event.missed for event in case.events) == case.events[-1].count == 20
        assert [event.now_ns for event in case.events] == sorted(event.now_ns for event in case.events)

    def test_what_is_late_fires_once_for_all_and_counts_the_others(self) -> None:
        """A callback keeps the clock: in a simulation no time passes, live the times that went by become one."""

        def begin(case: Any) -> None:
            case.schedule_every(MS)
            case.schedule_after(0, lambda _: threading.Event().wait(0.05))
            case.schedule_after(80 * MS, lambda _: case.end())

        case = self.run(begin)
        counts = [event.count for event in case.events]
        assert counts == sorted(set(counts)), "no time fires twice"
        assert sum(1 + event.missed for event in case.events) == counts[-1]
        late = max(event.missed for event in case.events)
        assert late == 0 if self.is_simulated else late >= 40

    def test_what_is_due_already_fires_in_the_next_step(self) -> None:
        """Never at once, and in the order set."""

        def begin(case: Any) -> None:
            case.order = []
            case.schedule_at(case.now_ns - 5, lambda _: case.order.append("past"))
            case.schedule_after(0, lambda _: (case.order.append("now"), case.schedule_after(0, last)))
            case.order.append("begin")

            def last(_: TimerEvent) -> None:
                case.order.append("from a callback")
                case.end()

        assert self.run(begin).order == ["begin", "past", "now", "from a callback"]

    def test_cancelling_is_idempotent_by_handle_by_name_and_by_block(self) -> None:
        """Nothing fires that was taken away."""

        def begin(case: Any) -> None:
            handle = case.schedule_after(MS)
            assert handle.cancel() and not handle.cancel()
            case.schedule_after(MS, name="named")
            assert case.cancel_timer("named") and not case.cancel_timer("named")
            with case.schedule_after(MS):
                pass
            case.beat = case.schedule_every(MS, lambda event: case.beat.cancel() if event.count >= 3 else None)
            case.schedule_after(30 * MS, lambda _: case.end())

        case = self.run(begin)
        assert case.events == []
        assert case.beat.info() is None
        assert case.beat.cancel() is False

    def test_names_and_the_listing(self) -> None:
        """In the order in which they will fire; a name is that of one timer."""

        def begin(case: Any) -> None:
            now = case.now_ns
            case.schedule_every(MS, name="beat", start_ns=now + 5 * MS, end_ns=now + 9 * MS)
            case.schedule_after(3 * MS, lambda _: case.end(), name="end")
            with pytest.raises(TimerRefused, match="another timer of this name"):
                case.schedule_after(MS, name="beat")
            case.listed = [
                (one.name, one.due_ns - now, one.interval_ns, one.end_ns and one.end_ns - now, one.fired, one.missed)
                for one in case.timers()
            ]

        case = self.run(begin)
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
        self, act: Callable[[Any], object], message: str
    ) -> None:
        """With a message that says why."""

        def begin(case: Any) -> None:
            with pytest.raises(TimerRefused, match=message):
                act(case)
            assert case.timers() == []
            case.end()

        self.run(begin)

    def test_other_threads_are_refused(self) -> None:
        """By ``WrongThread``."""

        def begin(case: Any) -> None:
            caught: list[BaseException] = []

            def elsewhere() -> None:
                for call in (lambda: case.now_ns, lambda: case.schedule_after(1), case.timers):
                    try:
                        call()
                    except WrongThread as error:
                        caught.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert len(caught) == 3
            case.end()

        self.run(begin)

    def test_the_clock_stands_still_within_a_step_and_never_goes_back(self) -> None:
        """However long the step takes."""

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

        times = self.run(begin).times
        assert times == sorted(times)
