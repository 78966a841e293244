"""Fields of commands that are handled at once: refused by the types that they say, as those that go by a lane are."""

from __future__ import annotations

import asyncio
import enum
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from fake_lanes import FakeLanes

from tickrail.domain.commands import Command, Event
from tickrail.errors import CommandInvalid
from tickrail.orchestration.bus.fields import fields_of
from tickrail.orchestration.bus.routes import encode
from tickrail.orchestration.command_bus import CommandBus


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


class Text(str):
    __slots__ = ()


class Part(msgspec.Struct, frozen=True):
    number: int


CLASSES = [
    *(int, float, str, bytes, bool, None, Any, Decimal, datetime, Colour, Level, Bits, Part),
    *(int | None, str | float | None, Colour | None, Literal["a", "b"], Literal["a", 1] | None, list[int] | None),
    *(dict[str, int], tuple[int, ...], Annotated[int, msgspec.Meta(ge=0)], Part | None),
]
VALUES: list[Any] = [
    *(0, -1, 2**63 - 1, 2**63, 2**70, -(2**70), 1.5, 2.0, math.nan, math.inf, True, False, None),
    *("a", "b", "".join(("a", "")), "\ud800", "é", Text("a"), b"a", bytearray(b"a"), Decimal("1.5"), datetime.now(UTC)),
    *(Colour.RED, Level.LOW, Bits.ONE, Bits.ONE | Bits.TWO, Part(1), Part("1"), [1], ["1"], {"a": 1}, {"a": "1"}),
    *((1,), {1}, object(), lambda: None, int),
]


UNCHANGING = {int, float, str, bytes, bool, type(None), Colour, Level}


def bus_of(cls: type[Command], seen: list[Any]) -> CommandBus:
    bus = CommandBus()
    bus.register(cls, seen.append)
    return bus


@pytest.mark.parametrize("annotation", CLASSES, ids=str)
def test_at_once_the_same_is_refused_as_on_the_way(annotation: Any) -> None:
    cls: Any = type("Made", (Command,), {"__annotations__": {"value": annotation}})
    seen: list[Any] = []
    bus, surely, decode = bus_of(cls, seen), fields_of(cls), msgspec.msgpack.Decoder(cls).decode
    for value in VALUES:
        said = []
        for send in (bus.execute, lambda command: bus.submit(command).result()):
            try:
                send(cls(value))
                said.append("")
            except CommandInvalid as error:
                said.append(error.message)
        assert said[0] == said[1], repr(value)
        if surely(cls(value)):
            assert said[0] == "", f"{value!r} is taken without being looked at"
        if surely.are_same(cls(value)):
            given = decode(encode(cls(value))).value
            assert (type(given), repr(given)) == (type(value), repr(value)), "nothing is lost by not decoding it"
            assert type(value) in UNCHANGING
    assert seen, "some are right"


class Order(Command):
    name: str
    quantity: float
    count: int = 1
    side: Literal["buy", "sell"] = "buy"
    note: str | None = None

    def check(self) -> None:
        if self.count < 0:
            raise ValueError(f"count is {self.count}: expected none below zero")


WRONG: list[Any] = [
    Order("a", "1"),  # type: ignore[arg-type]
    Order("a", 1.0, count=1.5),  # type: ignore[arg-type]
    Order("a", 1.0, side="hold"),  # type: ignore[arg-type]
    Order("a", 1.0, count=-1),
    Order(None, 1.0),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wherever_it_is_handled_a_wrong_field_is_named(wrong: Order) -> None:
    seen: list[Any] = []
    bus = bus_of(Order, seen)
    with pytest.raises(CommandInvalid, match=r"Order: .*(quantity|count|side|name)"):
        bus.execute(wrong)
    with pytest.raises(CommandInvalid, match="Order: "):
        asyncio.run(bus.execute_async(wrong))
    assert seen == []


def test_an_async_handler_on_its_own_thread_is_called_with_right_fields_only() -> None:
    seen: list[Any] = []
    bus = CommandBus()

    async def order(command: Order) -> None:
        seen.append(command)

    async def ask() -> None:
        await bus.execute_async(Order("a", 1.0))
        for wrong in WRONG:
            with pytest.raises(CommandInvalid, match="Order: "):
                await bus.execute_async(wrong)

    bus.register(Order, order)
    bus._io.call(ask(), 10.0)
    bus.close()
    assert seen == [Order("a", 1.0)]


class Changed(Event):
    weight: float


def test_an_event_is_looked_at_where_it_takes_a_lane_and_told_as_it_is_where_it_does_not() -> None:
    """There the look would take half as long as the telling, and who publishes is the code of a strategy."""
    told: list[Event] = []
    bus, elsewhere = CommandBus(), CommandBus(FakeLanes())
    for one in (bus, elsewhere):
        one.subscribe(Changed, told.append)
    wrong = Changed("much")  # type: ignore[arg-type]
    bus.publish(wrong)
    assert told == [wrong]
    with pytest.raises(CommandInvalid, match="weight"):
        elsewhere.publish(wrong)


def test_what_is_plain_is_not_encoded() -> None:
    """Which is what makes the look cheap."""
    surely = fields_of(Order)
    assert surely(Order("a", 1))
    assert surely.are_same(Order("a", 1.0, count=2))
    assert not surely.are_same(Order("a", 1)), "of which the wire makes a float"
    assert surely(Order("é", 1.0, count=-1, side="sell", note="x")), "`check` is asked apart from it"
    assert not surely(Order("a", "1")), "and of the rest nothing is known"  # type: ignore[arg-type]
