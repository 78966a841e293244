"""A full lane: whoever sends may wait for room, by whatever way, and for no longer than was said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command
from tickrail.errors import CommandInvalid, CommandTimeout, LaneFull, NotRunning, ShuttingDown, WouldDeadlock
from tickrail.orchestration.bus.letters import is_free
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher

FULL = 1_000_000


class Note(Command):
    number: int


class Block(Command):
    pass


def noting(lanes: FakeLanes) -> CommandBus:
    bus = CommandBus(lanes)
    bus.register(Note, lambda command: command.number)
    return bus


@pytest.fixture
def kept() -> Iterator[tuple[CommandBus, threading.Event]]:
    """A run whose NORMAL lane is full, as a handler keeps its loop until the event is set."""
    dispatcher = TickDispatcher([{"id": "A.SIM"}], live="park")
    bus, go_on, is_kept = dispatcher.commands, threading.Event(), threading.Event()
    bus.register(Note, lambda command: command.number)

    def block(_: Block) -> None:
        is_kept.set()
        assert go_on.wait(30)

    bus.register(Block, block)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        bus.post(Block(), wait_s=10.0)
        assert is_kept.wait(30)
        with pytest.raises(LaneFull):
            for number in range(5_000):
                bus.post(Note(number))
        yield bus, go_on
    finally:
        go_on.set()
        dispatcher.request_stop()
        thread.join(30)


def test_execute_waits_for_room_in_a_real_lane(kept: tuple[CommandBus, threading.Event]) -> None:
    """Who waits is answered, who does not is refused."""
    bus, go_on = kept
    with pytest.raises(LaneFull, match="had no room") as caught:
        bus.execute(Note(1))
    assert "wait_s" in (caught.value.hint or "")
    with pytest.raises(LaneFull, match=r"no room for 0\.02 s"):
        bus.execute(Note(1), wait_s=0.02)
    with pytest.raises(LaneFull, match=r"no room for 0\.02 s"):
        asyncio.run(bus.execute_async(Note(1), wait_s=0.02))
    assert bus.dead_letter_counts["lane_full"] == 4, "one for each who was refused, however often it was tried"

    async def several() -> list[Any]:
        asked = [asyncio.ensure_future(bus.execute_async(Note(number), wait_s=30.0)) for number in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        return list(await asyncio.gather(*asked))

    answers: list[int] = []
    waits = threading.Thread(target=lambda: answers.append(bus.execute(Note(7), wait_s=30.0)))
    waits.start()
    assert asyncio.run(several()) == list(range(20))
    waits.join(30)
    assert answers == [7]


def test_room_is_waited_for_within_the_time_out() -> None:
    lanes = FakeLanes()
    bus = noting(lanes)
    with pytest.raises(CommandTimeout, match=r"within 0\.05 s"):
        bus.execute(Note(1), timeout_s=0.05, wait_s=10.0)
    assert lanes.waits == [0.05]
    full = FakeLanes(after=FULL)
    began = time.monotonic()
    with pytest.raises(CommandTimeout):
        asyncio.run(noting(full).execute_async(Note(1), timeout_s=0.05, wait_s=10.0))
    assert time.monotonic() - began < 5.0
    assert full.sent == [], "nothing is sent that nobody waits for"


def test_a_coroutine_waits_and_its_loop_goes_on() -> None:
    lanes = FakeLanes(after=20)
    bus = noting(lanes)

    async def ask() -> tuple[int, int]:
        asked = asyncio.ensure_future(bus.execute_async(Note(3), key="k", wait_s=10.0))
        turns = 0
        while not lanes.sent:
            await asyncio.sleep(0)
            turns += 1
        bus.handle(lanes.sent[0])
        return await asked, turns

    answer, turns = asyncio.run(ask())
    assert answer == 3
    assert turns > 20
    assert bus.execute(Note(3), key="k") == 3, "its key is known"


@pytest.mark.parametrize("end", ["cancel", "over", "closed"])
def test_who_waits_for_room_is_let_go(end: str) -> None:
    lanes = FakeLanes(after=FULL)
    bus = noting(lanes)

    async def ask() -> None:
        asked = asyncio.ensure_future(bus.execute_async(Note(3), key="k", wait_s=30.0))
        while not lanes.attempts:
            await asyncio.sleep(0)
        if end == "cancel":
            asked.cancel()
        elif end == "over":
            lanes.over = True
        else:
            bus.close()
        await asked

    with pytest.raises(asyncio.CancelledError if end == "cancel" else ShuttingDown):
        asyncio.run(ask())
    assert lanes.sent == []
    assert all(is_free(first) for *_, first in bus._answered._receipts.values()), "the key is free"


def ask_async(bus: CommandBus, command: Command) -> Any:
    return asyncio.run(bus.execute_async(command, wait_s=30.0))


@pytest.mark.parametrize("ask", [lambda bus, command: bus.execute(command, wait_s=30.0), ask_async])
def test_what_is_wrong_does_not_wait(ask: Callable[[CommandBus, Command], Any]) -> None:
    lanes = FakeLanes(after=FULL)
    with pytest.raises(CommandInvalid):
        ask(noting(lanes), Note("1"))  # type: ignore[arg-type]
    assert lanes.attempts == 0


def test_who_must_not_wait_for_an_answer_does_not_wait_for_room() -> None:
    lanes = FakeLanes(after=FULL)
    bus = noting(lanes)

    async def on_io() -> None:
        bus.execute(Note(1), wait_s=30.0)

    with pytest.raises(WouldDeadlock):
        bus._io.call(on_io(), 10.0)
    lanes.stands = 0
    with pytest.raises(NotRunning):
        bus.execute(Note(1), wait_s=30.0)
    assert lanes.attempts == 0
    lanes.stands = 1
    assert bus.execute(Note(1), wait_s=30.0) == 1, "within the step there is nothing to wait for"
    bus.close()
