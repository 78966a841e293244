"""One key, one call: whoever calls the handler and whoever takes the command back meet in its receipt."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command
from tickrail.errors import CommandExpired, CommandInvalid, CommandTimeout, LaneFull, WouldDeadlock
from tickrail.orchestration.bus.receipt import CANCELLED, DONE, FAILED, Receipt
from tickrail.orchestration.bus.way import ON_IT
from tickrail.orchestration.command_bus import CommandBus

LONG_S = 30.0


class Buy(Command):
    quantity: int


class Later(Command):
    quantity: int


class Lane(FakeLanes):
    """A way to a loop that takes what was sent when a test says so."""

    def take(self, bus: CommandBus) -> None:
        """What the loop does with each: it asks whether it is wanted, and calls the handler."""
        sent, self.sent = self.sent, []
        for envelope in sent:
            if bus.admits(envelope):
                bus.handle(envelope)


@pytest.fixture
def lane() -> Lane:
    return Lane()


@pytest.fixture
def bus(lane: Lane) -> Iterator[CommandBus]:
    bus = CommandBus(lane)
    yield bus
    bus.close()


def begun(bus: CommandBus, lane: Lane, **sent: Any) -> tuple[Receipt, Callable[[Any], None], list[int]]:
    """A command whose handler is at work until its answer is given."""
    promised, calls = Future[Any](), list[int]()

    def handle(command: Buy) -> Future[Any]:
        calls.append(command.quantity)
        return promised

    bus.register(Buy, handle)
    receipt = bus.submit(Buy(100), **sent)
    lane.take(bus)
    return receipt, promised.set_result, calls


def test_a_handler_at_work_is_not_taken_back_and_keeps_its_result(bus: CommandBus, lane: Lane) -> None:
    receipt, answer, _ = begun(bus, lane)
    assert not receipt.cancel()
    assert repr(receipt) == "<Receipt begun>"
    assert not receipt.done()
    answer("filled")
    assert receipt.result(0) == "filled"
    assert not receipt.cancelled()
    assert bus.dead_letter_counts == {}


def test_a_command_taken_back_between_its_admission_and_its_call_was_not(bus: CommandBus, lane: Lane) -> None:
    """The loop has it among its inputs by then, and a rerun handles it."""
    calls: list[int] = []
    bus.register(Buy, lambda command: calls.append(command.quantity))
    receipt = bus.submit(Buy(1))
    assert bus.admits(lane.sent[0])
    assert not receipt.cancel()
    bus.handle(lane.sent[0])
    assert (calls, receipt.done(), receipt.cancelled()) == ([1], True, False)


def test_of_two_that_meet_one_is_told_that_it_came_first() -> None:
    for _ in range(200):
        receipt, told = Receipt(), dict[str, bool]()
        go = threading.Barrier(2)

        def meet(name: str, act: Callable[[], bool], go: threading.Barrier = go, told: dict[str, bool] = told) -> None:
            go.wait(LONG_S)
            told[name] = act()

        threads = [
            threading.Thread(target=meet, args=a) for a in (("begin", receipt.begin), ("cancel", receipt.cancel))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
        assert told["begin"] is not told["cancel"]


def test_a_repetition_after_a_time_out_gets_the_answer_of_the_handler_at_work(bus: CommandBus, lane: Lane) -> None:
    receipt, answer, calls = begun(bus, lane, key="order-4711")
    for _ in range(2):
        with pytest.raises(CommandTimeout, match=r"Buy: no answer within 0\.01 s; its handler is at work") as caught:
            bus.execute(Buy(100), key="order-4711", timeout_s=0.01)
        assert caught.value.begun
        assert "key" in (caught.value.hint or "")
    assert not receipt.cancel(), "the first sender's neither"
    answer("filled")
    assert bus.execute(Buy(100), key="order-4711", timeout_s=LONG_S) == "filled"
    assert receipt.result(0) == "filled"
    assert calls == [100]


def test_a_time_out_in_the_lane_is_told_as_such_and_leaves_the_key_free(bus: CommandBus, lane: Lane) -> None:
    bus.register(Buy, lambda command: command.quantity)
    with pytest.raises(CommandTimeout, match="it was taken back") as caught:
        bus.execute(Buy(1), key="a", timeout_s=0.01)
    assert not caught.value.begun
    receipt = bus.submit(Buy(2), key="a")  # another command may have it now
    lane.take(bus)
    assert receipt.result(0) == 2
    assert bus.dead_letter_counts == {"cancelled": 1}


def test_a_command_that_expired_unhandled_leaves_its_key_free(bus: CommandBus, lane: Lane) -> None:
    bus.register(Buy, lambda command: command.quantity)
    late = bus.submit(Buy(1), key="a", expires_s=0.0)
    lane.take(bus)
    assert isinstance(late.exception(0), CommandExpired)
    again = bus.submit(Buy(1), key="a")
    lane.take(bus)
    assert again.result(0) == 1


def test_what_failed_in_its_handler_keeps_its_key(bus: CommandBus, lane: Lane) -> None:
    calls: list[int] = []

    def fail(command: Buy) -> None:
        calls.append(command.quantity)
        raise LookupError("sent, and then lost")

    bus.register(Buy, fail)
    receipts = [bus.submit(Buy(1), key="a")]
    lane.take(bus)
    receipts.append(bus.submit(Buy(1), key="a"))
    assert [type(receipt.exception(0)) for receipt in receipts] == [LookupError] * 2
    assert calls == [1]
    with pytest.raises(CommandInvalid, match="another command"):
        bus.submit(Buy(2), key="a")


def test_each_sender_takes_back_its_own_and_the_last_one_the_command(bus: CommandBus, lane: Lane) -> None:
    bus.register(Buy, lambda command: command.quantity)
    first, second, third = (bus.submit(Buy(1), key="a") for _ in range(3))
    assert first.cancel()
    assert first.cancel(), "and once is enough"
    assert second.cancel()
    with pytest.raises(CancelledError):
        first.result(0)
    assert not third.done()
    lane.take(bus)
    assert third.result(0) == 1
    assert (first.begun(), third.begun()) == (False, True)
    both = [bus.submit(Buy(1), key="b") for _ in range(2)]
    assert [receipt.cancel() for receipt in both] == [True, True]
    lane.take(bus)
    assert bus.dead_letter_counts == {"cancelled": 1}


def test_the_first_senders_time_out_ends_no_wait_of_another(bus: CommandBus, lane: Lane) -> None:
    bus.register(Buy, lambda command: command.quantity)

    async def both() -> list[Any]:
        first = asyncio.ensure_future(bus.execute_async(Buy(5), key="z", timeout_s=0.01))
        second = asyncio.ensure_future(bus.execute_async(Buy(5), key="z", timeout_s=LONG_S))
        with pytest.raises(CommandTimeout):
            await first
        lane.take(bus)
        return [await second]

    assert asyncio.run(both()) == [5]


def test_a_coroutine_with_a_key_is_begun_once(bus: CommandBus) -> None:
    go_on, has_begun, calls = threading.Event(), threading.Event(), []

    async def handle(command: Later) -> int:
        calls.append(command.quantity)
        has_begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        return command.quantity

    async def late() -> None:
        with pytest.raises(CommandTimeout) as caught:
            await bus.execute_async(Later(5), key="z", timeout_s=0.01)
        assert caught.value.begun

    bus.register(Later, handle)
    receipt = bus.submit(Later(5), key="z")
    assert has_begun.wait(LONG_S)
    asyncio.run(late())
    assert not receipt.cancel()
    go_on.set()
    assert bus.execute(Later(5), key="z", timeout_s=LONG_S) == receipt.result(LONG_S) == 5
    assert calls == [5]


def test_what_fails_after_its_sender_has_gone_is_a_dead_letter(bus: CommandBus, lane: Lane) -> None:
    promised = Future[Any]()
    bus.register(Buy, lambda command: promised)
    caught: list[CommandTimeout] = []

    def ask() -> None:
        try:
            bus.execute(Buy(1), timeout_s=0.2)
        except CommandTimeout as error:
            caught.append(error)

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    while not lane.sent:
        time.sleep(0.001)
    lane.take(bus)
    threads[0].join(LONG_S)
    assert caught[0].begun
    promised.set_exception(LookupError("the venue is gone"))
    (letter,) = bus.dead_letters
    assert (letter.command, letter.reason, type(letter.error)) == (Buy(1), "failed", LookupError)


def test_who_waits_with_a_command_that_never_left_is_told(bus: CommandBus, lane: Lane) -> None:
    """The first sender gives up while it waits for room: the other had nothing but its command."""
    bus.register(Buy, lambda command: command.quantity)
    lane.room = 0

    async def both() -> None:
        first = asyncio.ensure_future(bus.execute_async(Buy(5), key="z", wait_s=LONG_S))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(bus.execute_async(Buy(5), key="z", timeout_s=LONG_S))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(LaneFull):
            await second

    asyncio.run(both())
    lane.room = 1
    assert not bus.submit(Buy(5), key="z").done(), "and the key is free"


def test_a_wait_that_is_forbidden_takes_only_its_own_back(bus: CommandBus, lane: Lane) -> None:
    bus.register(Buy, lambda command: command.quantity)
    first = bus.submit(Buy(1), key="a")
    lane.stands = ON_IT
    with pytest.raises(WouldDeadlock):
        bus.execute(Buy(1), key="a")
    assert not first.done()
    lane.take(bus)
    assert first.result(0) == 1


@pytest.mark.parametrize("state", [DONE, FAILED, CANCELLED])
def test_whoever_follows_has_the_same_answer_before_and_after(state: int) -> None:
    first, early, late = Receipt(), Receipt(), Receipt()
    assert early.follow(first)
    assert first.begin()
    assert early.begun()
    first.settle(state, LookupError("gone"))
    assert late.follow(first)
    assert repr(early) == repr(late) == repr(first)
    assert early.begun()
    nothing = Receipt()
    assert nothing.refuse(LookupError())
    assert not Receipt().follow(nothing), "what came to nothing has no answer for others"
    assert not first.refuse(LookupError())


def test_a_callback_of_one_that_ends_the_process_keeps_no_other_from_its_answer() -> None:
    first, one, other = Receipt(), Receipt(), Receipt()
    for receipt in (one, other):
        receipt.follow(first)

    def leave(_: Receipt) -> None:
        raise SystemExit(3)

    one.add_done_callback(leave)
    with pytest.raises(SystemExit):
        first.settle(DONE, 1)
    assert other.result(0) == 1
