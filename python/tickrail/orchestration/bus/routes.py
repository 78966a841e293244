"""Who handles what: one handler a command type, found by type and by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from tickrail.domain.commands import Command, Event
from tickrail.domain.near import did_you_mean
from tickrail.errors import CommandInvalid, DuplicateHandler, NoHandler
from tickrail.orchestration.bus.callables import check_handler
from tickrail.orchestration.bus.fields import fields_of
from tickrail.orchestration.bus.owners import Owner

__all__ = ["Middleware", "Route", "Routes", "encode", "place_of_caller"]

Handler: TypeAlias = Callable[[Any], Any]
#: Called with the command and what comes after it; returns the result.
Middleware: TypeAlias = Callable[[Any, Handler], Any]

encode: Final = msgspec.msgpack.Encoder().encode
WRONG: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What is raised by a field that cannot be sent; the last by a list within itself."""
PLAIN_DATA: Final = "a command is data: plain values, lists, dicts, structs of msgspec; hand an object to its handler"


class Route:
    """One command type and its handler.

    Attributes:
        type: The class of the command.
        name: What it is called on the wire.
        place: Where the handler was registered.
        owner: The strategy that has registered it, in the life in which it did; ``None``: none.
        call: The handler with the middleware around it.
        shown: What its handler is called.
        span_name: What a span around it is called.
        surely_holds: Whether the fields of a command have the types that they say; false: it is not known. Its
            ``are_same``: whether they are what the wire gives back for them.
    """

    __slots__ = (
        "call",
        "check",
        "decode",
        "handler",
        "is_async",
        "lane",
        "name",
        "owner",
        "place",
        "shown",
        "span_name",
        "surely_holds",
        "takes_strategy",
        "type",
    )

    def __init__(self, cls: type, handler: Handler, place: str, owner: Owner | None = None) -> None:
        self.type = cls
        self.owner = owner
        self.name = tag_of(cls)
        check_handler(handler, self.name)
        self.span_name = f"tickrail.{'event' if issubclass(cls, Event) else 'command'}.{self.name}"
        self.handler = self.call = handler
        self.place = place
        self.shown = str(getattr(handler, "__qualname__", type(handler).__qualname__))
        self.is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
        )
        self.decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(cls).decode
        self.check: Callable[[Any], None] | None = None
        if getattr(cls, "check", None) is not Command.check:
            self.check = getattr(cls, "check", None)
        self.lane = int(getattr(cls, "lane", 1))
        self.surely_holds = fields_of(cls)
        self.takes_strategy = "strategy" in cls.__struct_fields__  # type: ignore[attr-defined]

    def succeeds(self, known: Route) -> bool:
        """Whether it takes the place of ``known``, which the same strategy has registered in a life that is over."""
        was = known.owner
        return was is not None and was.is_over and self.owner is not None and self.owner.name == was.name

    def hand_over(self, after: Route) -> None:
        """Let the handler of ``after`` handle from now on, also what was sent before."""
        self.handler, self.place, self.shown, self.owner = after.handler, after.place, after.shown, after.owner

    def admitted(self, command: Any) -> Any:
        """What its handler is given, of a command that goes nowhere; the native half does the same.

        Raises:
            CommandInvalid: Naming the field.
        """
        if not self.surely_holds(command):
            return self.taken(command)[1]
        if self.check is not None:
            self.checked(command)
        return command

    def checked(self, command: Any) -> None:
        """Refuse what the command's own ``check`` does.

        Raises:
            CommandInvalid: With what it says.
        """
        assert self.check is not None
        try:
            self.check(command)
        except ValueError as error:
            raise CommandInvalid(f"{self.name}: {error}", command=self.name) from None

    def taken(self, command: Any) -> tuple[bytes, Any]:
        """``command`` as canonical bytes, once its fields have the types that they say; and what its handler is given.

        That is what the bytes say: what its sender changes afterwards is no part of it, and a rerun has the same
        (docs/decisions/0123). Where all is plain it is the command itself, which is the same.

        Raises:
            CommandInvalid: Naming the field.
        """
        try:
            payload = encode(command)
            given = command if self.surely_holds.are_same(command) else self.decode(payload)
            if self.check is not None:
                self.check(given)
        except WRONG as error:
            where = "" if isinstance(error, msgspec.ValidationError) else _place_of(command)
            raise CommandInvalid(f"{self.name}: {error}{where}", command=self.name, hint=where and PLAIN_DATA) from None
        return payload, given


def _place_of(command: Any) -> str:
    """Which field the wire has no form for, as it names those that have a wrong one; empty: none."""
    for name in command.__struct_fields__:
        try:
            encode(getattr(command, name))
        except WRONG:
            return f" - at `$.{name}`"
    return ""


class Routes:
    """All routes of a bus. Complete before the run begins; reading needs no lock."""

    def __init__(self) -> None:
        self.by_type: dict[type, Route] = {}
        self._by_name: dict[str, Route] = {}

    def add(self, route: Route) -> Route:
        """Add ``route``; the one that holds from now on, which is the known one where a strategy was restarted.

        Raises:
            DuplicateHandler: Its type has a handler, or another type has its name.
        """
        known = self._by_name.get(route.name)
        if known is not None:
            same = known.type is route.type
            if same and route.succeeds(known):
                if route.is_async == known.is_async:
                    known.hand_over(route)
                    return known
                self.by_type[route.type] = self._by_name[route.name] = route
                return route
            what = f"{route.name} has a handler already" if same else f"two command types are called {route.name}"
            raise DuplicateHandler(
                f"{what}: the first at {known.place}, the second at {route.place}",
                command=route.name,
                first=known.place,
                second=route.place,
                hint="a command has exactly one handler; for many, publish an event" if same else "rename one",
            )
        self.by_type[route.type] = self._by_name[route.name] = route
        return route

    def of(self, command: object) -> Route:
        """The route of ``command``.

        Raises:
            NoHandler: Nobody handles its type.
        """
        route = self.by_type.get(type(command))
        if route is None:
            raise self._missing(type(command).__name__)
        return route

    def named(self, name: str) -> Route:
        """The route of the type called ``name``; see ``of``."""
        route = self._by_name.get(name)
        if route is None:
            raise self._missing(name)
        return route

    def of_payload(self, payload: bytes) -> tuple[Route, Any]:
        """The route and the command that ``payload`` tells of."""
        route = self.named(msgspec.msgpack.decode(payload)["type"])
        return route, route.decode(payload)

    def is_unheard(self, payload: bytes) -> bool:
        """Whether ``payload`` tells of an event of this process to which nobody has subscribed."""
        name = msgspec.msgpack.decode(payload)["type"]
        return name not in self._by_name and any(tag_of(cls) == name for cls in _derived(Event))

    def _missing(self, name: str) -> NoHandler:
        near = did_you_mean(name, self._by_name)
        return NoHandler(f"nobody handles {name}{near}", command=name, hint="bus.register(CommandType, handler)")


def tag_of(cls: type) -> str:
    """What ``cls`` is called on the wire.

    Raises:
        TypeError: It is no command and no event.
    """
    if not (isinstance(cls, type) and issubclass(cls, Command | Event) and cls not in (Command, Event)):
        raise TypeError(f"{cls!r} is no class derived from Command or Event")
    return str(cls.__struct_config__.tag)


def _derived(cls: type[Event]) -> Iterator[type[Event]]:
    for one in cls.__subclasses__():
        yield one
        yield from _derived(one)


def compiled(handler: Handler, middleware: Iterable[Middleware]) -> Handler:
    """``handler`` with ``middleware`` around it, the first outermost; the handler itself where there is none."""
    for one in reversed(tuple(middleware)):
        handler = _around(one, handler)
    return handler


def _around(middleware: Middleware, after: Handler) -> Handler:
    def call(command: Any) -> Any:
        return middleware(command, after)

    return call


def place_of_caller(depth: int = 2) -> str:
    """File and line of the code that called ``depth`` frames above."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
