"""What makes a class a compiled strategy, and which of them could never run; without numba."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tickrail._native import ABI_VERSION
from tickrail.domain.kinds import Kind
from tickrail.errors import HandlerError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["HANDLERS", "UnsafeAddress", "check_form", "handlers_of", "is_compiled", "kinds_of", "unsafe_address"]

STATE: Final = "state_dtype"
#: The handlers that may be compiled, with what their first argument is called.
HANDLERS: Final[Mapping[str, str]] = {
    "on_tick": "tick",
    "on_quote": "tick",
    "on_trade": "tick",
    "on_bar": "tick",
    "on_batch": "ticks",
    "on_timer": "timer",
    "on_order_update": "update",
}
_LARGEST: Final = 8  # bytes of a number; numpy's long double is more, and unknown to numba
KINDS: Final[Mapping[str, Kind]] = {"on_quote": Kind.QUOTE, "on_trade": Kind.TRADE, "on_bar": Kind.BAR}


class UnsafeAddress(msgspec.Struct, frozen=True):
    """A function of the C interface by its address; see ``unsafe_address``."""

    address: int
    owner: object


def unsafe_address(address: int, *, abi_version: int, owner: object = None) -> Any:
    """Use the C function at ``address`` as a handler (``on_tick``, ``on_batch``, ``on_timer``, ``on_order_update``).

    The address is believed: a wrong one, or a function that breaks the rules of docs/reference/compiled.md, crashes the
    process or worse. ``owner`` is kept alive with the strategy (the library, for one).

    Raises:
        HandlerError: The function was made for another version of the interface, or the address is none.
    """
    if abi_version != ABI_VERSION:
        raise HandlerError(f"the function was made for ABI version {abi_version}; this tickrail has {ABI_VERSION}")
    if not isinstance(address, int) or address <= 0:
        raise HandlerError(f"{address!r} is no address of a function")
    return UnsafeAddress(address, owner)


def is_compiled(cls: type) -> bool:
    """Whether ``cls`` is a compiled strategy."""
    return getattr(cls, STATE, None) is not None


def handlers_of(cls: type) -> dict[str, Any]:
    """The compiled handlers that ``cls`` defines: plain functions or unsafe addresses."""
    found = {name: inspect.getattr_static(cls, name, None) for name in HANDLERS}
    return {name: _plain(handler) for name, handler in found.items() if handler is not None}


def kinds_of(handlers: Mapping[str, Any]) -> list[int]:
    """Codes of the kinds that some handler takes."""
    if "on_tick" in handlers or "on_batch" in handlers:
        return [int(kind) for kind in Kind]
    return [int(kind) for name, kind in KINDS.items() if name in handlers]


def check_form(cls: type) -> None:
    """Refuse a compiled strategy that could not be compiled, whatever is in its handlers.

    Raises:
        HandlerError: Says what was found and what was expected.
    """
    import numpy as np  # late: a class with a dtype has loaded it, and most runs have no such class

    dtype = getattr(cls, STATE)
    owner = cls.__name__
    if not isinstance(dtype, np.dtype) or not dtype.names or dtype.hasobject:
        raise HandlerError(
            f"{owner}.{STATE} is {dtype!r}; expected a structured dtype of numbers, such as np.dtype([('x', 'f8')])",
            strategy=owner,
        )
    _check_fields(owner, dtype)
    handlers = handlers_of(cls)
    if not kinds_of(handlers):
        raise HandlerError(
            f"{owner} has a {STATE}, but no handler of ticks; expected on_tick, on_quote, on_trade, on_bar or on_batch",
            strategy=owner,
        )
    for name, handler in handlers.items():
        _check_handler(owner, name, handler)


def _check_fields(owner: str, dtype: np.dtype[np.void], path: str = "") -> None:
    """Refuse numbers that machine code cannot hold: numba would say so in its own words only, or not at all."""
    for name in dtype.names or ():
        field, place = dtype[name], f"{path}{name}"
        leaf, shape = field.subdtype or (field, ())
        if leaf.names:
            _check_fields(owner, leaf, f"{place}.")
        elif shape and leaf.kind == "b":
            raise HandlerError(
                f"{owner}.{STATE} has {place!r}, an array of bool, which machine code cannot hold; expected numbers",
                strategy=owner,
                hint=f"write ({name!r}, 'u1', {shape}), and 1 for true",
            )
        elif leaf.kind not in "biuf" or not leaf.isnative or leaf.itemsize > _LARGEST or leaf.str[1:] == "f2":
            raise HandlerError(
                f"{owner}.{STATE} has {place!r} of type {leaf.str!r}, which machine code cannot hold;"
                " expected bool, integers or floats in the byte order of this machine",
                strategy=owner,
                hint="write 'i8' or 'f8'; texts and times are kept as numbers",
            )


def _check_handler(owner: str, name: str, handler: Any) -> None:
    if isinstance(handler, UnsafeAddress):
        if name in KINDS:
            raise HandlerError(
                f"{owner}.{name}: a function by its address takes ticks of every kind; expected it as on_tick",
                strategy=owner,
                handlers=[name],
            )
        return
    expected = [HANDLERS[name], "state", "out"]
    found = list(inspect.signature(handler).parameters) if inspect.isfunction(handler) else None
    wrong_kind = inspect.iscoroutinefunction(handler) or inspect.isgeneratorfunction(handler)
    if found is None or len(found) != len(expected) or wrong_kind:
        shown = f"{name}({', '.join(found)})" if found is not None else repr(handler)
        raise HandlerError(
            f"{owner}.{shown} cannot be compiled; expected a plain function {name}({', '.join(expected)})",
            strategy=owner,
            handlers=[name],
            hint=f"with {STATE}, handlers take no self: write @staticmethod above them",
        )


def _plain(handler: Any) -> Any:
    return handler.__func__ if isinstance(handler, staticmethod) else handler
