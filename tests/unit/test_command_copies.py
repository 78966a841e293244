"""What a handler is given: what was sent, whatever its sender does with it afterwards; as a rerun is given it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_lanes import FakeLanes

import tickrail
from tickrail.domain.commands import Command, Event
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import CommandInvalid
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"


class Weights(Command):
    weights: list[float]
    more: Any = None


class Plain(Command):
    name: str
    number: int = 0
    quantity: float = 0.0


class Changed(Event):
    names: list[str]


def post(bus: CommandBus, command: Command) -> None:
    bus.post(command)


def submit(bus: CommandBus, command: Command) -> None:
    bus.submit(command)


def with_key(bus: CommandBus, command: Command) -> None:
    bus.submit(command, key="k")


def with_patience(bus: CommandBus, command: Command) -> None:
    bus.post(command, expires_s=60.0, wait_s=60.0)


@pytest.mark.parametrize("send", [post, submit, with_key, with_patience])
def test_what_is_changed_after_it_was_sent_is_not_what_was_sent(send: Callable[[CommandBus, Command], None]) -> None:
    lanes, seen = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Weights, seen.append)
    weights, more = [1.0, 2.0], {"a": [1]}
    send(bus, Weights(weights, more))
    weights.append(3.0)
    more["a"].append(2)
    for envelope in lanes.sent:
        bus.handle(envelope)
    assert seen == [Weights([1.0, 2.0], {"a": [1]})]
    seen[0].weights.clear()
    assert weights == [1.0, 2.0, 3.0], "nor does what the handler does with it reach its sender"


def test_a_handler_of_the_same_step_is_given_what_was_sent_too() -> None:
    """At the end of the step; a call within it has the form that it has from elsewhere."""
    lanes, seen = FakeLanes(standing=1), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Weights, seen.append)
    weights = [1.0]
    bus.submit(Weights(weights))
    weights.append(2.0)
    bus.handle(lanes.sent.pop())
    bus.execute(Weights(weights, more=(1, {2}, Decimal("1.5"))))
    weights.append(3.0)
    assert seen == [Weights([1.0]), Weights([1.0, 2.0], more=[1, [2], "1.5"])]


def test_a_coroutine_is_given_what_was_sent() -> None:
    bus, go_on, seen = CommandBus(), threading.Event(), list[Any]()

    async def handler(command: Weights) -> None:
        await asyncio.to_thread(go_on.wait, 30.0)
        seen.append(list(command.weights))

    async def ask(weights: list[float]) -> None:
        asked = asyncio.ensure_future(bus.execute_async(Weights(weights)))
        await asyncio.sleep(0)
        weights.append(9.0)
        go_on.set()
        await asked

    bus.register(Weights, handler)
    weights = [1.0]
    receipt = bus.submit(Weights(weights))
    weights.append(2.0)
    go_on.set()
    receipt.result(30.0)
    go_on.clear()
    bus._io.call(ask(weights), 30.0)
    assert seen == [[1.0], [1.0, 2.0]]
    bus.close()


def test_plain_commands_are_handed_over_as_they_are() -> None:
    lanes, seen = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Plain, seen.append)
    sent = [Plain("a", 1, 1.5), Plain("b")]
    bus.post(sent[0])
    bus.submit(sent[1], key="k")
    for envelope in lanes.sent:
        bus.handle(envelope)
    assert [one is known for one, known in zip(seen, sent, strict=True)] == [True, True]


class Odd(Command):
    text: str
    raw: bytes
    quantity: float
    numbers: tuple[int, ...]
    at: datetime


def test_an_object_that_passes_for_another_type_is_handed_over_as_what_it_says() -> None:
    """As a rerun does, which has nothing but the bytes."""
    lanes, seen = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Odd, seen.append)
    raw = bytearray(b"a")
    odd: Any = Odd(Decimal("1.5"), raw, 2, [1], datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    bus.post(odd)
    raw.extend(b"b")
    bus.handle(lanes.sent.pop())
    (given,) = seen
    assert given == Odd("1.5", b"a", 2.0, (1,), datetime(2026, 1, 1, tzinfo=UTC))
    assert [type(value) for value in msgspec.structs.astuple(given)] == [str, bytes, float, tuple, datetime]


def test_middleware_and_dead_letters_have_what_the_handler_has() -> None:
    lanes, seen = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)

    def around(command: Any, call_next: Callable[[Any], Any]) -> Any:
        seen.append(command)
        return call_next(command)

    def fails(command: Weights) -> None:
        seen.append(command)
        raise LookupError

    bus.use(around)
    bus.register(Weights, fails)
    weights = [1.0]
    bus.post(Weights(weights))
    weights.append(2.0)
    bus.handle(lanes.sent.pop())
    assert seen == [Weights([1.0])] * 2
    assert seen[0] is seen[1] is bus.dead_letters[0].command


def test_a_key_is_known_by_what_was_sent() -> None:
    """What its sender changes afterwards is another command, and what the handler has changed is no other."""
    bus = CommandBus()
    bus.register(Weights, lambda command: command.weights.pop())
    weights = [1.0, float("nan")]
    command = Weights(weights, more=(1, {"a": 1, "b": 2}))
    assert np.isnan(bus.submit(command, key="k").result(0))
    again = Weights([1.0, float("nan")], more=[1, {"a": 1, "b": 2}])
    assert np.isnan(bus.submit(again, key="k").result(0)), "answered as the first was"
    weights.append(2.0)
    with pytest.raises(CommandInvalid, match=r"key 'k' was used for another command: Weights\(weights=\[1.0, nan\]"):
        bus.submit(command, key="k")
    bus.submit(Weights([1.0], more={"a": 1, "b": 2}), key="m")
    assert bus.submit(Weights([1.0], more={"b": 2, "a": 1}), key="m").result(0) == 1.0


class Unsayable(Command):
    name: str
    anything: Any


@pytest.mark.parametrize("send", [post, submit, with_key, lambda bus, command: bus.execute(command)])
@pytest.mark.parametrize("standing", [1, 2])
def test_what_cannot_be_sent_is_refused_by_its_field(send: Callable[[CommandBus, Command], Any], standing: int) -> None:
    lanes, seen = FakeLanes(standing=standing), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Unsayable, seen.append)
    itself: list[Any] = []
    itself.append(itself)
    for wrong, says in ((object(), "objects of type object is unsupported"), (itself, "recursion depth"), (2**70, "")):
        with pytest.raises(CommandInvalid, match=rf"^Unsayable: .*{says}.* - at `\$\.anything`") as caught:
            send(bus, Unsayable("a", [wrong]))
        assert caught.value.hint == (
            "a command is data: plain values, lists, dicts, structs of msgspec; hand an object to its handler"
        )
    assert seen == lanes.sent == []


def test_all_subscribers_share_one_event_which_is_not_its_publisher_s() -> None:
    lanes, heard = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)

    def first(event: Changed) -> None:
        event.names.append("first")

    bus.subscribe(Changed, first)
    bus.subscribe(Changed, lambda event: heard.append(list(event.names)))
    names = ["sent"]
    bus.publish(Changed(names))
    names.append("late")
    bus.handle(lanes.sent.pop())
    assert heard == [["sent", "first"]]
    lanes.stands = 1
    bus.publish(Changed(names))
    assert heard[1:] == [["sent", "late", "first"]], "at once it is what was published itself"


def test_a_rerun_finds_what_its_coroutines_send_by_what_was_sent() -> None:
    """An int where a float is said is recorded as such, and the handler is given a float."""
    lanes, seen = FakeLanes(), list[Any]()
    bus = CommandBus(lanes)
    bus.register(Weights, seen.append)

    class Again:
        is_rerun = True

    bus.wait_in_steps(Again())  # type: ignore[arg-type]
    lanes.over = True
    answers: list[Future[Any]] = []

    async def ask() -> None:
        answers.append(bus.submit(Weights([1, 2], more=(1,))))  # type: ignore[arg-type]

    bus._io.call(ask(), 30.0)
    bus.replay(msgspec.msgpack.encode(Weights([1, 2], more=(1,))))
    assert answers[0].result(0) is None
    assert seen == [Weights([1.0, 2.0], more=[1])]
    bus.leave()
    assert bus.dead_letters == ()
    bus.close()


class Trader(tickrail.Strategy):
    act = None  # no annotation: no parameter

    def on_tick(self, tick: tickrail.Tick) -> None:
        if self.act is not None:
            act, self.act = self.act, None
            act()


def test_handler_and_record_and_so_a_rerun_have_the_same() -> None:
    recording = bytearray()

    def run(act: Callable[[CommandBus], None] | None) -> list[list[float]]:
        records = np.zeros(3, QUOTE_DTYPE)
        records["ts_event"] = records["ts_init"] = np.arange(1, 4)
        records["kind"] = 1
        records["bid"] = records["ask"] = 1.0
        dispatcher = TickDispatcher([{"id": EURUSD}])
        dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
        trader = Trader()
        dispatcher.register(trader, "trader")
        seen: list[list[float]] = []
        dispatcher.commands.register(Weights, lambda command: seen.append(command.weights))
        if act is None:
            dispatcher.replay_commands(bytes(recording))
        else:
            trader.act = lambda: act(dispatcher.commands)  # type: ignore[assignment]
            dispatcher.record_commands(recording.extend)
        dispatcher.run()
        return seen

    def from_elsewhere(bus: CommandBus) -> None:
        """A handler keeps the loop meanwhile: the command is changed before its turn."""

        def send() -> None:
            weights = [1.0]
            bus.post(Weights(weights))
            weights[0] = 2.0

        thread = threading.Thread(target=send)
        thread.start()
        thread.join()

    assert run(from_elsewhere) == [[1.0]]
    assert run(None) == [[1.0]]
