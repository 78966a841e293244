"""The context in which handlers of commands run: the sender's variables, the command's story, and nothing left of it.

The bus uses one context again and again while nobody else can see it; what is started in a handler sees for good what
was there when it was started.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

from tickrail.domain.commands import Command
from tickrail.domain.context import NOTHING, TRACE, Trace, correlated
from tickrail.orchestration.command_bus import CommandBus

LONG_S = 30.0
MINE: ContextVar[str] = ContextVar("mine", default="none")


class Do(Command):
    name: str = ""


class Within(Command):
    pass


def facts(trace: Trace) -> tuple[int, int | str, int]:
    return trace.id, trace.correlation, trace.causation


def bus_of(handler: Callable[[Any], Any]) -> CommandBus:
    bus = CommandBus()
    bus.register(Do, handler)
    return bus


def test_each_handler_has_its_own_command_and_nothing_is_left_of_it() -> None:
    bus = bus_of(lambda _: facts(TRACE.get()))
    assert [bus.execute(Do()) for _ in range(4)] == [(number, number, 0) for number in (1, 2, 3, 4)]
    assert TRACE.get() is NOTHING
    with correlated("order-17"):
        assert [bus.execute(Do()) for _ in range(2)] == [(5, "order-17", 0), (6, "order-17", 0)]
    assert bus.execute(Do()) == (7, 7, 0)


def test_what_a_handler_sets_ends_with_it() -> None:
    def handler(command: Do) -> str:
        before = MINE.get()
        if command.name:
            MINE.set(command.name)
        return before

    bus = bus_of(handler)
    for name in ("", "first", "", "second", "third", ""):
        assert bus.execute(Do(name)) == "none"
    assert MINE.get() == "none"


def test_a_handler_sees_what_its_sender_has_set() -> None:
    bus = bus_of(lambda _: MINE.get())
    assert bus.execute(Do()) == "none"
    token = MINE.set("one")
    assert [bus.execute(Do()) for _ in range(2)] == ["one", "one"]
    MINE.set("two")
    assert bus.execute(Do()) == "two"
    MINE.reset(token)
    assert bus.execute(Do()) == "none"


def test_what_was_started_in_a_handler_keeps_its_story() -> None:
    """Copies of the context, as asyncio makes one for each callback: later commands change none of them."""
    copies: list[Context] = []
    bus = bus_of(lambda command: copies.append(copy_context()) if command.name else None)
    for name in ("", "copies", "copies", "", "copies", ""):
        bus.execute(Do(name))
    assert [facts(copy.run(TRACE.get)) for copy in copies] == [(2, 2, 0), (3, 3, 0), (5, 5, 0)]


def test_a_callback_for_another_loop_keeps_its_story() -> None:
    seen: list[tuple[int, int | str, int]] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        bus = bus_of(lambda _: loop.call_soon_threadsafe(lambda: seen.append(facts(TRACE.get()))))
        for _ in range(3):
            await loop.run_in_executor(None, bus.execute, Do())
        while len(seen) < 3:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(ask(), LONG_S))
    assert seen == [(1, 1, 0), (2, 2, 0), (3, 3, 0)]


def test_a_trace_that_is_kept_never_changes() -> None:
    kept: list[Trace] = []
    bus = bus_of(lambda command: kept.append(TRACE.get()) if command.name else None)
    for name in ("", "keep", "", "keep", "keep", ""):
        bus.execute(Do(name))
    assert [facts(trace) for trace in kept] == [(2, 2, 0), (4, 4, 0), (5, 5, 0)]


def test_a_context_that_is_kept_by_an_exception_never_changes() -> None:
    def handler(_: Do) -> None:
        trace = TRACE.get()  # which the frame keeps
        raise LookupError(trace)

    bus, errors = bus_of(handler), []
    for _ in range(3):
        try:
            bus.execute(Do())
        except LookupError as error:
            errors.append(error)
    assert [facts(error.args[0]) for error in errors] == [(1, 1, 0), (2, 2, 0), (3, 3, 0)]


def test_a_command_within_a_handler_has_its_own_and_gives_the_other_back() -> None:
    seen: list[tuple[int, int | str, int]] = []

    def outer(_: Do) -> None:
        seen.append(facts(TRACE.get()))
        bus.execute(Within())
        bus.execute(Within())
        seen.append(facts(TRACE.get()))

    bus = bus_of(outer)
    bus.register(Within, lambda _: seen.append(facts(TRACE.get())))
    bus.execute(Do())
    bus.execute(Do())
    first = [(1, 1, 0), (2, 1, 1), (3, 1, 1), (1, 1, 0)]
    assert seen == [*first, *((number + 3, 4, causation and 4) for number, _, causation in first)]


def test_handlers_at_once_on_several_threads_do_not_share_it() -> None:
    """Each is in its handler while the other begins and ends one."""
    inside, go_on = threading.Event(), threading.Event()
    seen: list[list[tuple[int, int | str, int]]] = []

    def handler(command: Do) -> list[tuple[int, int | str, int]]:
        before = facts(TRACE.get())
        if command.name == "waits":
            inside.set()
            assert go_on.wait(LONG_S)
        return [before, facts(TRACE.get())]

    bus = bus_of(handler)
    bus.execute(Do())
    thread = threading.Thread(target=lambda: seen.append(bus.execute(Do("waits"))))
    thread.start()
    assert inside.wait(LONG_S)
    assert [bus.execute(Do())[1] for _ in range(3)] == [(3, 3, 0), (4, 4, 0), (5, 5, 0)]
    go_on.set()
    thread.join(LONG_S)
    assert seen == [[(2, 2, 0), (2, 2, 0)]]


def test_a_bus_that_its_senders_context_refers_to_is_collected() -> None:
    """The bus keeps the last context, which holds what its sender has set: the bus itself, say."""
    held: ContextVar[object] = ContextVar("held")

    def use() -> weakref.ref[object]:
        class Holder:
            bus: CommandBus

        holder = Holder()
        holder.bus = bus_of(lambda _: None)
        held.set(holder)
        holder.bus.execute(Do())
        holder.bus.execute(Do())
        return weakref.ref(holder)

    gone = copy_context().run(use)
    gc.collect()
    assert gone() is None


def test_a_handler_that_copies_its_context_and_then_sets_something_leaves_none_of_it() -> None:
    """Also among so many variables that what is set and the command stand far from one another in their mapping."""
    many: list[ContextVar[str]] = [ContextVar(f"v{number}", default="none") for number in range(200)]
    copies: list[Context] = []

    def handler(command: Do) -> list[str]:
        if command.name:
            copies.append(copy_context())
            many[int(command.name)].set("set")
        return [one.get() for one in many]

    def send() -> None:
        for one in many[100:]:
            one.set("sender")
        expected = ["none"] * 100 + ["sender"] * 100
        for number in range(100):
            assert bus.execute(Do()) == expected
            assert bus.execute(Do(str(number)))[number] == "set"

    bus = bus_of(handler)
    copy_context().run(send)
    assert [facts(copy.run(TRACE.get)) for copy in copies] == [(2 * k, 2 * k, 0) for k in range(1, 101)]
