"""Who sends a command again by its key, who sends one from a handler, and what a scheduled one keeps of its sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command, PauseStrategy
from tickrail.domain.context import TRACE, correlated
from tickrail.errors import CommandExpired, CommandInvalid, CommandTimeout, WouldDeadlock
from tickrail.orchestration.command_bus import CommandBus


class Note(Command):
    number: int


def noting(lanes: FakeLanes) -> tuple[CommandBus, list[int]]:
    bus, noted = CommandBus(lanes), []

    def note(command: Note) -> int:
        noted.append(command.number)
        return len(noted)

    bus.register(Note, note)
    return bus, noted


def test_from_a_handler_a_key_and_a_time_limit_change_nothing_about_when_it_is_done() -> None:
    lanes = FakeLanes(standing=1)
    bus, noted = noting(lanes)
    assert [bus.execute(Note(7), key="once") for _ in range(2)] == [1, 1]
    assert bus.execute(Note(8), expires_s=60.0) == 2
    assert noted == [7, 8]
    assert lanes.sent == [], "nothing waits for the end of the step"
    first = bus.submit(Note(9), key="later")
    with pytest.raises(WouldDeadlock):
        bus.execute(Note(9), key="later")
    assert not first.cancelled(), "it is another's"


def test_a_key_whose_command_was_taken_back_is_free() -> None:
    lanes = FakeLanes(standing=2)
    bus, noted = noting(lanes)
    with pytest.raises(CommandTimeout):
        bus.execute(Note(1), key="a", timeout_s=0.01)
    again = bus.submit(Note(1), key="a")
    assert len(lanes.sent) == 2
    for envelope in lanes.sent:
        if bus.admits(envelope):
            bus.handle(envelope)
    assert again.result() == 1
    assert noted == [1]


@pytest.mark.parametrize("how", ["execute", "execute_async"])
def test_who_sends_it_again_and_waits_no_longer_takes_nothing_back(how: str) -> None:
    lanes = FakeLanes(standing=2)
    bus, noted = noting(lanes)
    first = bus.submit(Note(1), key="a")
    with pytest.raises(CommandTimeout):
        if how == "execute":
            bus.execute(Note(1), key="a", timeout_s=0.01)
        else:
            asyncio.run(bus.execute_async(Note(1), key="a", timeout_s=0.01))
    assert bus.admits(lanes.sent[0])
    bus.handle(lanes.sent[0])
    assert (first.result(), noted) == (1, [1])


def test_a_wrong_field_of_a_built_in_command_is_refused_from_a_handler_too() -> None:
    bus, seen = CommandBus(FakeLanes(standing=1)), []
    bus.register(PauseStrategy, seen.append)
    with pytest.raises(CommandInvalid, match="strategy"):
        bus.execute(PauseStrategy(strategy=3))  # type: ignore[arg-type]
    assert seen == []


def test_on_the_io_thread_too_a_command_may_have_expired() -> None:
    bus, noted = CommandBus(), []

    async def note(command: Note) -> int:
        noted.append(command.number)
        return command.number

    bus.register(Note, note)

    async def ask() -> tuple[int, Any]:
        fresh = await bus.execute_async(Note(1), expires_s=60.0)
        try:
            return fresh, await bus.execute_async(Note(2), expires_s=1e-9)
        except CommandExpired as error:
            return fresh, error.command

    assert bus._io.call(ask(), 30) == (1, "Note")
    assert noted == [1]
    bus.close()


class Clock:
    """A loop's clock that a test turns."""

    def __init__(self) -> None:
        self.set: list[Callable[[], object]] = []

    def schedule(self, callback: Callable[[], object], /, **when: Any) -> int:
        self.set.append(callback)
        return len(self.set)

    def unschedule(self, number: int, /) -> bool:
        return False

    def now_ns(self) -> int:
        return 0


def test_a_scheduled_command_belongs_to_the_story_in_which_it_was_scheduled() -> None:
    bus, clock, stories = CommandBus(), Clock(), []
    bus.register(Note, lambda _: stories.append(TRACE.get().correlation))
    bus.schedule_by(clock)
    with correlated("order-17"):
        bus.schedule_at(5, Note(1))
    clock.set[0]()
    assert stories == ["order-17"]
