"""The bus by itself: handlers run at once, on the caller's thread."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command, Event
from tickrail.domain.context import TRACE, correlated
from tickrail.errors import (
    CommandInvalid,
    CommandTimeout,
    DuplicateHandler,
    LaneFull,
    NoHandler,
    NotRunning,
    ShuttingDown,
    WouldDeadlock,
)
from tickrail.orchestration.bus.receipt import DONE, FAILED, Receipt
from tickrail.orchestration.command_bus import CommandBus


class Double(Command):
    number: int

    def check(self) -> None:
        if self.number < 0:
            raise ValueError(f"number is {self.number}: expected none below zero")


class Chain(Command):
    left: int


class Told(Event):
    text: str


class Heard(Event):
    text: str


def double(command: Double) -> int:
    return 2 * command.number


async def double_later(command: Double) -> int:
    await asyncio.sleep(0)
    return 2 * command.number


def test_execute_calls_the_one_handler() -> None:
    bus = CommandBus()
    bus.register(Double, double)
    assert bus.execute(Double(4)) == 8
    assert bus.submit(Double(5)).result() == 10
    bus.post(Double(6))
    assert bus.dead_letters == ()


def test_a_second_handler_is_an_error_that_names_both_places() -> None:
    bus = CommandBus()
    bus.register(Double, double)
    with pytest.raises(DuplicateHandler) as caught:
        bus.register(Double, double_later)
    assert __file__ in caught.value.first
    assert __file__ in caught.value.second
    assert caught.value.first != caught.value.second
    assert caught.value.first in str(caught.value)
    assert caught.value.second in str(caught.value)
    other = type("Double", (Command,), {"__annotations__": {"text": str}})
    with pytest.raises(DuplicateHandler, match="two command types are called Double"):
        bus.register(other, double)


def test_what_could_only_fail_or_do_nothing_is_refused_where_it_is_handed_over() -> None:
    bus = CommandBus()
    bus.register(Double, double)
    wrong: Any = None
    with pytest.raises(TypeError, match="a middleware is None: expected something that can be called"):
        bus.use(wrong)
    with pytest.raises(TypeError, match="the handler of Chain is None"):
        bus.register(Chain, wrong)
    with pytest.raises(TypeError, match="the subscriber of Told is 'print'"):
        bus.subscribe(Told, "print")  # type: ignore[arg-type]

    async def later(*_: object) -> None: ...

    with pytest.raises(TypeError, match=r"a middleware is .*, a coroutine function, which nobody would await"):
        bus.use(later)
    with pytest.raises(TypeError, match=r"the subscriber of Told is .*, a coroutine function"):
        bus.subscribe(Told, later)

    def yields(command: Chain) -> Iterator[int]:
        yield 1

    async def yields_later(command: Chain) -> AsyncIterator[int]:
        yield 1

    for handler in (yields, yields_later):
        with pytest.raises(TypeError, match="a generator function: called, it would do nothing"):
            bus.register(Chain, handler)
    bus.register(Chain, lambda command: "sound")
    assert (bus.execute(Double(4)), bus.execute(Chain(1))) == (8, "sound"), "nothing of it is left"


def test_a_handler_that_returns_a_coroutine_has_done_nothing_and_its_sender_is_told() -> None:
    bus = CommandBus()

    async def later(command: Chain) -> str:
        return "done"

    bus.register(Chain, lambda command: later(command))
    for send in (bus.execute, lambda command: bus.submit(command).result(1)):
        with pytest.raises(TypeError, match="the handler of Chain returned a coroutine, which nobody runs: register"):
            send(Chain(1))


@pytest.mark.parametrize("is_late", [False, True])
def test_who_waits_for_what_a_handler_left_open_is_told_when_the_run_is_over(is_late: bool) -> None:
    bus, answer = CommandBus(), Future[str]()
    bus.register(Chain, lambda command: answer)
    receipt = bus.submit(Chain(1))
    if not is_late:
        answer.set_result("done")
    bus.leave()
    if is_late:
        answer.set_result("nobody hears it")
        with pytest.raises(ShuttingDown, match=r"Chain: the run ended before its handler .* had its answer"):
            receipt.result(1)
    else:
        assert receipt.result(1) == "done"


def test_an_unknown_command_is_named_with_the_nearest_known() -> None:
    bus = CommandBus()
    bus.register(Double, double)
    with pytest.raises(NoHandler, match="Chain"):
        bus.execute(Chain(1))
    with pytest.raises(TypeError, match="Command or Event"):
        bus.register(int, double)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [Double("4"), Double(-1), Double(2**70)])  # type: ignore[arg-type]
def test_wrong_fields_are_refused_where_they_are_sent(wrong: Double) -> None:
    bus = CommandBus(FakeLanes(room=2))
    bus.register(Double, double)
    for send in (bus.submit, bus.post, bus.execute):
        with pytest.raises(CommandInvalid, match="Double"):
            send(wrong)


def test_middleware_runs_around_handlers_in_order_and_may_answer_itself() -> None:
    bus, seen = CommandBus(), []

    def note(name: str) -> Callable[[Any, Callable[[Any], Any]], Any]:
        def middleware(command: Any, call_next: Callable[[Any], Any]) -> Any:
            seen.append(name)
            return call_next(command)

        return middleware

    bus.use(note("outer"))
    bus.register(Double, double)
    bus.use(note("inner"))
    bus.use(lambda command, call_next: -1 if command.number == 13 else call_next(command))
    assert bus.execute(Double(1)) == 2
    assert seen == ["outer", "inner"]
    assert bus.execute(Double(13)) == -1


def test_without_middleware_the_handler_itself_is_called() -> None:
    bus = CommandBus()
    bus.register(Double, double)
    assert bus._routes.of(Double(1)).call is double


def test_a_handler_that_raises_answers_with_that() -> None:
    bus = CommandBus()

    def fail(_: Double) -> None:
        raise LookupError("no such number")

    bus.register(Double, fail)
    with pytest.raises(LookupError):
        bus.execute(Double(1))
    receipt = bus.submit(Double(2))
    assert isinstance(receipt.exception(), LookupError)
    bus.post(Double(3))
    (letter,) = bus.dead_letters
    assert (letter.command, letter.reason) == (Double(3), "failed")
    assert isinstance(letter.error, LookupError)


def test_dead_letters_are_bounded_and_all_counted() -> None:
    bus = CommandBus(dead_letters=3)

    def fail(command: Double) -> None:
        raise LookupError(command.number)

    bus.register(Double, fail)
    for number in range(5):
        bus.post(Double(number))
    assert [letter.command.number for letter in bus.dead_letters] == [2, 3, 4]
    assert bus.dead_letter_counts == {"failed": 5}


def test_correlation_and_causation_follow_from_handler_to_handler() -> None:
    bus, seen = CommandBus(), []

    def chain(command: Chain) -> None:
        seen.append(TRACE.get())
        if command.left:
            bus.execute(Chain(command.left - 1))

    bus.register(Chain, chain)
    bus.execute(Chain(2))
    first = seen[0].id
    assert [(trace.correlation, trace.causation) for trace in seen] == [(first, 0), (first, first), (first, seen[1].id)]
    with correlated("order-17"):
        bus.submit(Chain(1))
    assert [trace.correlation for trace in seen[3:]] == ["order-17"] * 2
    assert TRACE.get().id == 0


def test_ids_are_carried_into_async_handlers() -> None:
    bus, seen = CommandBus(), []

    async def note(_: Chain) -> None:
        await asyncio.sleep(0)
        seen.append(TRACE.get())

    bus.register(Chain, note)
    with correlated("story"):
        bus.execute(Chain(0))
    bus.close()
    assert (seen[0].correlation, seen[0].causation) == ("story", 0)


def test_a_key_is_handled_once_and_answered_each_time() -> None:
    bus, calls = CommandBus(), []

    def note(command: Double) -> int:
        calls.append(command.number)
        return len(calls)

    bus.register(Double, note)
    assert [bus.execute(Double(1), key="a") for _ in range(3)] == [1, 1, 1]
    assert bus.submit(Double(1), key="b").result() == 2
    with pytest.raises(CommandInvalid, match="another command"):
        bus.execute(Double(2), key="a")


def test_keys_are_bounded() -> None:
    bus = CommandBus(keys=2)
    bus.register(Double, lambda command: object())
    first = bus.execute(Double(1), key="a")
    bus.execute(Double(1), key="b")
    assert bus.execute(Double(1), key="a") is first
    bus.execute(Double(1), key="c")  # b is the one not used for longest
    assert bus.execute(Double(1), key="a") is first


def test_a_full_lane_and_an_ended_run_are_told_and_kept_as_dead_letters() -> None:
    lanes = FakeLanes(room=1)
    bus = CommandBus(lanes)
    bus.register(Double, double)
    bus.post(Double(1))
    with pytest.raises(LaneFull):
        bus.submit(Double(2), key="k")
    lanes.room = 5
    assert not bus.submit(Double(2), key="k").done(), "a key whose command never left is free"
    lanes.over = True
    with pytest.raises(ShuttingDown):
        bus.post(Double(3))
    assert [letter.reason for letter in bus.dead_letters] == ["lane_full", "shutting_down"]
    bus.close()
    with pytest.raises(ShuttingDown):
        bus.submit(Double(3))


def test_a_command_is_taken_back_expires_or_is_abandoned() -> None:
    lanes = FakeLanes(room=9)
    bus = CommandBus(lanes)
    bus.register(Double, double)
    receipts = [
        bus.submit(Double(1)),
        bus.submit(Double(2), expires_s=0.0),
        bus.submit(Double(3)),
        bus.submit(Double(4)),
    ]
    assert receipts[0].cancel()
    assert receipts[0].cancel()
    assert [bus.admits(envelope) for envelope in lanes.sent] == [False, False, True, True]
    bus.handle(lanes.sent[2])
    bus.abandon(lanes.sent[3])
    with pytest.raises(CancelledError):
        receipts[0].result(0)
    assert type(receipts[1].exception(0)).__name__ == "CommandExpired"
    assert receipts[2].result(0) == 6
    assert not receipts[2].cancel()
    assert isinstance(receipts[3].exception(0), ShuttingDown)
    assert bus.dead_letter_counts == {"cancelled": 1, "expired": 1, "shutting_down": 1}


def test_execute_gives_up_in_time_and_takes_the_command_back() -> None:
    lanes = FakeLanes(room=2)
    bus = CommandBus(lanes)
    bus.register(Double, double)
    with pytest.raises(CommandTimeout):
        bus.execute(Double(1), timeout_s=0.01)
    assert not bus.admits(lanes.sent[0])


def test_waiting_for_oneself_is_refused_at_once() -> None:
    lanes = FakeLanes(room=2, standing=1)
    bus = CommandBus(lanes)
    bus.register(Double, double)
    bus.register(Chain, _never)
    assert bus.execute(Double(4)) == 8, "on the dispatch thread handlers run inline"
    with pytest.raises(WouldDeadlock, match="async handler"):
        bus.execute(Chain(1))
    with pytest.raises(WouldDeadlock, match="add_done_callback"):
        bus.submit(Double(1)).result(5)
    lanes.stands = 0
    with pytest.raises(NotRunning):
        bus.execute(Double(1))
    bus.close()


async def _never(_: Chain) -> None:
    await asyncio.sleep(3_600)


def test_the_io_thread_does_not_wait_for_a_command() -> None:
    bus = CommandBus(FakeLanes(room=2))
    bus.register(Double, double)

    async def wrong(_: Chain) -> int:
        return int(bus.execute(Double(1)))

    bus.register(Chain, wrong)
    with pytest.raises(WouldDeadlock, match="execute_async"):
        bus.execute(Chain(1), timeout_s=30)
    bus.close()


def test_async_handlers_are_awaited_from_anywhere() -> None:
    bus = CommandBus()
    bus.register(Double, double_later)

    async def nested(command: Chain) -> Any:
        return await bus.execute_async(Double(command.left))

    bus.register(Chain, nested)
    assert bus.execute(Double(4)) == 8
    assert bus.execute(Chain(5)) == 10

    async def several() -> list[Any]:
        return await asyncio.gather(*(bus.execute_async(Double(number)) for number in range(50)))

    assert asyncio.run(several()) == [2 * number for number in range(50)]
    with pytest.raises(CommandTimeout):
        asyncio.run(_execute_never(bus))
    bus.close()


async def _execute_never(bus: CommandBus) -> None:
    class Never(Command):
        pass

    bus.register(Never, lambda _: _never(Chain(0)))  # a function that returns a coroutine is no coroutine function
    bus._routes.by_type[Never].is_async = True
    await bus.execute_async(Never(), timeout_s=0.01)


def test_cancelling_an_async_command_cancels_its_coroutine() -> None:
    bus, begun, ended = CommandBus(), threading.Event(), threading.Event()

    async def wait(_: Chain) -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.set()

    bus.register(Chain, wait)
    receipt = bus.submit(Chain(1))
    assert begun.wait(30)
    assert receipt.cancel()
    assert ended.wait(30)
    with pytest.raises(CancelledError):
        receipt.result(0)
    bus.close()


def test_closing_ends_what_async_handlers_wait_for() -> None:
    bus, begun = CommandBus(), threading.Event()

    async def wait(_: Chain) -> None:
        begun.set()
        await asyncio.sleep(3_600)

    bus.register(Chain, wait)
    receipt = bus.submit(Chain(1))
    assert begun.wait(30)
    bus.close()
    with pytest.raises(CancelledError):
        receipt.result(30)


def test_cancelling_the_wait_for_a_sync_handler_takes_the_command_back() -> None:
    lanes = FakeLanes(room=2)
    bus = CommandBus(lanes)
    bus.register(Double, double)

    async def give_up() -> None:
        task = asyncio.ensure_future(bus.execute_async(Double(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert not bus.admits(lanes.sent[0])


def test_answers_from_another_thread_reach_the_loop() -> None:
    lanes = FakeLanes(room=10_000)
    bus = CommandBus(lanes)
    bus.register(Double, double)

    async def ask() -> list[Any]:
        waits: list[Awaitable[Any]] = [asyncio.ensure_future(bus.execute_async(Double(n))) for n in range(1_000)]
        await asyncio.sleep(0)
        thread = threading.Thread(target=lambda: [bus.handle(envelope) for envelope in lanes.sent])
        thread.start()
        answers = await asyncio.gather(*waits)
        thread.join()
        return answers

    assert asyncio.run(ask()) == [2 * number for number in range(1_000)]


def test_events_reach_subscribers_in_order_and_a_failing_one_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bus, seen = CommandBus(), []
    bus.subscribe(Told, lambda event: seen.append(("first", event.text)))

    def fail(_: Told) -> None:
        raise LookupError("deaf")

    bus.subscribe(Told, fail)
    leave = bus.subscribe(Told, lambda event: seen.append(("last", event.text)))
    bus.subscribe(Heard, lambda event: seen.append(("other", event.text)))
    bus.publish(Told("a"))
    leave()
    leave()
    bus.publish(Told("b"))
    assert seen == [("first", "a"), ("last", "a"), ("first", "b")]
    assert "deaf" in caplog.text


def test_events_from_elsewhere_take_the_lane() -> None:
    lanes, seen = FakeLanes(room=2), []
    bus = CommandBus(lanes)
    bus.subscribe(Told, seen.append)
    bus.publish(Told("a"))
    assert seen == []
    bus.handle(lanes.sent[0])
    assert seen == [Told("a")]


def test_a_recorded_command_is_handled_again() -> None:
    bus, seen = CommandBus(), []
    bus.register(Double, seen.append)
    bus.subscribe(Told, seen.append)
    for one in (Double(3), Told("x")):
        bus.replay(bus._routes.by_type[type(one)].taken(one)[0])
    assert seen == [Double(3), Told("x")]


def test_a_receipt_is_settled_once_and_calls_back_once() -> None:
    receipt, calls = Receipt(), []
    receipt.add_done_callback(calls.append)
    assert not receipt.done()
    assert receipt.settle(DONE, 1)
    assert not receipt.settle(FAILED, LookupError())
    receipt.add_done_callback(calls.append)
    assert calls == [receipt, receipt]
    assert receipt.result(0) == 1
    assert "done" in repr(receipt)


def test_a_callback_that_raises_keeps_no_other_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    receipt, calls = Receipt(), []

    def fail(_: Receipt) -> None:
        raise LookupError("callback")

    receipt.add_done_callback(fail)
    receipt.add_done_callback(calls.append)
    receipt.settle(DONE, None)
    assert calls == [receipt]
    assert "callback" in caplog.text


def test_many_threads_wait_for_one_receipt() -> None:
    receipt, answers = Receipt(), []
    threads = [threading.Thread(target=lambda: answers.append(receipt.result(30))) for _ in range(8)]
    for thread in threads:
        thread.start()
    receipt.settle(DONE, "x")
    for thread in threads:
        thread.join()
    assert answers == ["x"] * 8


def test_ctrl_c_ends_the_wait_for_a_receipt_which_can_still_be_settled() -> None:
    receipt, began = Receipt(), time.monotonic()
    kill = threading.Thread(target=lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGINT)))
    kill.start()
    with pytest.raises(KeyboardInterrupt):
        receipt.result(60)
    kill.join()
    assert time.monotonic() - began < 30
    assert receipt.settle(DONE, 1)
    assert receipt.result(0) == 1


def test_a_circle_through_a_receipt_is_collected() -> None:
    class Kept:
        pass

    kept = Kept()
    gone = weakref.ref(kept)
    receipt = Receipt()
    kept.receipt = receipt  # type: ignore[attr-defined]
    receipt.add_done_callback([kept].append)
    kept.other = other = Receipt()  # type: ignore[attr-defined]
    other.settle(FAILED, LookupError(kept))
    del kept, receipt, other
    gc.collect()
    assert gone() is None


def test_a_story_without_a_name_is_called_by_its_first_command() -> None:
    assert repr(TRACE.get()) == "Trace(id=0, correlation=0, causation=0)"
    bus, seen = CommandBus(), []
    bus.register(Double, lambda _: seen.append(repr(TRACE.get())))
    for name in ("", "tale", 7):
        with correlated(name):
            bus.execute(Double(1))
    assert seen == [
        "Trace(id=1, correlation=1, causation=0)",
        "Trace(id=2, correlation='tale', causation=0)",
        "Trace(id=3, correlation=7, causation=0)",
    ]
