"""The bus by itself: answers that come later, handlers that are awaited, the clock, and what is refused on the way."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command, PauseStrategy
from tickrail.errors import CommandTimeout, LaneFull, NoHandler, NotRunning, ShuttingDown, WouldDeadlock
from tickrail.orchestration.bus import coroutines
from tickrail.orchestration.bus.builtin import _reached
from tickrail.orchestration.bus.receipt import CANCELLED, DONE, FAILED, Receipt
from tickrail.orchestration.bus.routes import encode
from tickrail.orchestration.bus.way import ON_IT
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.io_thread import IoThread
from tickrail.strategy.lifecycle import State

LONG_S = 30.0


class Ask(Command):
    number: int


class Wait(Command):
    number: int


class Chain(Command):
    pass


def double(command: Ask) -> int:
    return 2 * command.number


class Clock:
    """A loop's clock that a test turns."""

    def __init__(self) -> None:
        self.set: dict[int, Callable[[], object]] = {}

    def schedule(self, callback: Callable[[], object], /, **when: Any) -> int:
        self.set[len(self.set) + 1] = callback
        return len(self.set)

    def unschedule(self, number: int, /) -> bool:
        return self.set.pop(number, None) is not None

    def now_ns(self) -> int:
        return 100


class Kept:
    """Async handlers that wait until the test lets them go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go_on = threading.Event()
        self.has_begun = threading.Event()

    async def __call__(self, command: Wait) -> int:
        self.begun.append(command.number)
        self.has_begun.set()
        while not self.go_on.is_set():
            await asyncio.sleep(0.001)
        return command.number


def test_asyncio_on_the_dispatch_thread_has_its_answer_at_once() -> None:
    bus = CommandBus()  # without lanes the caller is where handlers run
    bus.register(Ask, double)
    assert asyncio.run(bus.execute_async(Ask(4))) == 8


def test_a_time_out_of_the_handlers_own_is_told_as_such() -> None:
    """Whoever waits is not told that the answer is late: it is there."""

    def fail(command: Ask) -> None:
        raise CommandTimeout("the venue did not answer", timeout_s=1.0)

    async def fail_later(command: Wait) -> None:
        raise CommandTimeout("the venue did not answer", timeout_s=1.0)

    bus = CommandBus()
    bus.register(Ask, fail)
    bus.register(Wait, fail_later)
    with pytest.raises(CommandTimeout, match="the venue did not answer"):
        bus.execute(Ask(1), key="one")
    with pytest.raises(CommandTimeout, match="the venue did not answer"):
        asyncio.run(bus.execute_async(Wait(1), timeout_s=LONG_S))
    bus.close()


@pytest.mark.parametrize("end", ["result", "error", "cancelled"])
def test_what_a_handler_has_only_asked_for_is_answered_when_it_comes(end: str) -> None:
    bus, promised = CommandBus(), [Future[int](), Future[int]()]
    bus.register(Ask, lambda command: promised[command.number])
    receipt = bus.submit(Ask(0))
    bus.post(Ask(1))
    assert not receipt.done()
    for future in promised:
        if end == "result":
            future.set_result(7)
        elif end == "error":
            future.set_exception(LookupError("gone"))
        else:
            future.cancel()
    if end == "result":
        assert receipt.result(0) == 7
        assert bus.dead_letters == ()
    elif end == "error":
        assert isinstance(receipt.exception(0), LookupError)
        assert bus.dead_letter_counts == {"failed": 1}, "of the one that nobody waited for"
    else:
        assert receipt.cancelled()
        assert bus.dead_letter_counts == {"cancelled": 2}


def test_async_handlers_at_work_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coroutines, "MAX_AWAITED", 1)
    bus, kept = CommandBus(), Kept()
    bus.register(Wait, kept)
    first = bus.submit(Wait(1))
    with pytest.raises(LaneFull, match="Wait: its lane has had no room"):
        bus.submit(Wait(2))
    kept.go_on.set()
    assert first.result(LONG_S) == 1
    assert bus.dead_letter_counts == {"lane_full": 1}
    bus.close()


def test_a_posted_async_command_leaves_a_dead_letter_only_where_it_fails() -> None:
    bus, done = CommandBus(), threading.Event()

    async def handle(command: Wait) -> int:
        try:
            return 1 // command.number
        finally:
            done.set()

    bus.register(Wait, handle)
    for number in (1, 0):
        done.clear()
        bus.post(Wait(number))
        assert done.wait(LONG_S)
    bus.close()
    (letter,) = bus.dead_letters
    assert (letter.command, letter.reason) == (Wait(0), "failed")
    assert isinstance(letter.error, ZeroDivisionError)


def test_what_the_end_of_the_io_thread_cuts_off_is_told() -> None:
    io, kept = IoThread(name="io"), Kept()
    bus = CommandBus(io=io)
    bus.register(Wait, kept)
    receipt = bus.submit(Wait(1))
    assert kept.has_begun.wait(LONG_S)
    io.close()
    with pytest.raises(CancelledError):
        receipt.result(LONG_S)
    with pytest.raises(ShuttingDown, match="Wait: the run takes no more commands"):
        bus.submit(Wait(2))
    assert bus.dead_letter_counts == {"shutting_down": 2}


@pytest.mark.parametrize("how", ["deaf", "hogs", "never begun"])
def test_whoever_waits_for_a_handler_that_does_not_end_is_told(how: str) -> None:
    io, begun, release = IoThread(name="io"), threading.Event(), threading.Event()
    bus = CommandBus(io=io)

    async def handle(command: Wait) -> None:
        begun.set()
        while how != "deaf" and not release.is_set():
            release.wait(LONG_S)
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    bus.register(Wait, handle)
    receipt = bus.submit(Wait(1))
    assert begun.wait(LONG_S)
    bus.post(Wait(2))
    last = bus.submit(Wait(3)) if how == "never begun" else receipt
    try:
        (name, *_) = io.close(0.05)
        assert name.endswith("<locals>.handle"), "by its own name"
        for one in (receipt, last):
            with pytest.raises(ShuttingDown, match=r"Wait: its handler .*handle did not end with the run"):
                one.result(LONG_S)
        counts = {"shutting_down": 2 if last is receipt else 3}
        assert bus.dead_letter_counts == counts
    finally:
        release.set()
        io.close(LONG_S)
    assert bus.dead_letter_counts == counts, "what ends later is not told again"


@pytest.mark.parametrize("how", ["result", "exception", "submit", "post"])
def test_the_io_thread_waits_for_nothing(how: str) -> None:
    """It would keep all coroutines for as long, and its own answer among them."""
    bus, kept = CommandBus(FakeLanes()), Kept()

    async def wait(command: Chain) -> Any:
        if how in ("submit", "post"):
            return getattr(bus, how)(Ask(1), wait_s=LONG_S)
        for sent in (Ask(1), Wait(1)):
            with pytest.raises(WouldDeadlock, match="the I/O thread must not wait for a command") as caught:
                getattr(bus.submit(sent), how)(LONG_S)
        raise caught.value

    bus.register(Ask, double)
    bus.register(Wait, kept)
    bus.register(Chain, wait)
    with pytest.raises(WouldDeadlock, match="the I/O thread must not wait for") as caught:
        bus.execute(Chain())
    assert caught.value.hint == "await bus.execute_async(...)"
    bus.close()


def test_a_bus_leaves_an_io_thread_that_is_not_its_own() -> None:
    with IoThread(name="io") as io:
        bus = CommandBus(io=io)
        bus.close()
        assert not io.closed


def test_the_clock_sends_commands_to_sync_and_async_handlers() -> None:
    bus, clock, kept = CommandBus(), Clock(), Kept()
    answers: list[int] = []
    bus.register(Ask, lambda command: answers.append(command.number))
    bus.register(Wait, kept)
    with pytest.raises(NotRunning, match="no clock to schedule on"):
        bus.schedule_at(5, Ask(1))
    bus.schedule_by(clock)
    bus.schedule_after(5, Ask(1))
    bus.schedule_at(5, Wait(2))
    taken_back = bus.schedule_every(5, Ask(3))
    taken_back.cancel()
    taken_back.cancel()
    assert repr(taken_back) == "<Scheduled handler-3>"
    for due in clock.set.values():
        due()
    assert kept.has_begun.wait(LONG_S)
    assert (answers, kept.begun) == ([1], [2])
    kept.go_on.set()
    bus.close()


def test_a_scheduled_command_for_which_there_is_no_room_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coroutines, "MAX_AWAITED", 0)
    bus, clock = CommandBus(), Clock()
    bus.register(Wait, Kept())
    bus.schedule_by(clock)
    bus.schedule_at(5, Wait(2))
    clock.set[1]()
    (letter,) = bus.dead_letters
    assert (letter.command, letter.reason) == (Wait(2), "lane_full")
    bus.close()


def test_what_comes_after_a_step_that_the_run_does_not_end_is_given_up() -> None:
    lanes, said = FakeLanes(standing=ON_IT), list[str]()
    bus = CommandBus(lanes)
    bus.after_step(lambda: said.append("judged"), abandoned=lambda: said.append("given up"))
    bus.abandon(lanes.sent.pop())
    assert said == ["given up"]


def test_a_recorded_command_that_nobody_handles_any_more_is_named() -> None:
    bus = CommandBus()
    bus.register(Ask, double)
    with pytest.raises(NoHandler, match="nobody handles Wait"):
        bus.replay(encode(Wait(1)))


def test_a_process_without_tracing_calls_the_handler_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    bus = CommandBus()
    bus.register(Ask, double)
    assert bus.execute(Ask(3)) == 6
    assert "opentelemetry.trace" not in sys.modules, "and does not load it"


@pytest.mark.parametrize(("state", "said"), [(DONE, "done"), (FAILED, "failed"), (CANCELLED, "cancelled")])
def test_a_receipt_says_what_was_raised_however_it_ended(state: int, said: str) -> None:
    receipt = Receipt()
    error = LookupError("gone")
    with pytest.raises(CommandTimeout, match="no answer within 0 s; the command stays sent"):
        receipt.exception(0.0)
    threading.Timer(0.01, receipt.settle, (state, error)).start()
    if state == CANCELLED:
        with pytest.raises(CancelledError):
            receipt.exception(LONG_S)
    else:
        assert receipt.exception(LONG_S) is (error if state == FAILED else None)
    assert repr(receipt) == f"<Receipt {said}>"


def test_what_goes_wrong_with_a_life_reaches_whoever_asked() -> None:
    asked: Future[State] = Future()
    answer = _reached(PauseStrategy(strategy="s"), lambda: asked, lambda: None)
    error = RuntimeError("the loop is gone")
    asked.set_exception(error)
    assert answer.exception(timeout=1.0) is error


def test_an_async_command_that_is_taken_back_is_one_dead_letter() -> None:
    """Whether its coroutine had begun by then or not."""
    bus = CommandBus(FakeLanes(standing=ON_IT))
    bus.register(Wait, Kept())
    try:
        for number in range(100):
            with pytest.raises(WouldDeadlock):
                bus.execute(Wait(number))
        bus._io.call(asyncio.sleep(0.01), LONG_S)  # what was to be done on its loop before has been
        assert bus.dead_letter_counts == {"cancelled": 100}
    finally:
        bus.close()
