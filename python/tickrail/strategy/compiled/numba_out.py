"""The methods of ``out`` for numba: importing this module makes them known to its compiler.

Their arguments have no annotations, for numba compares them with those of the lambdas, which can have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.typing.arraydecl import RecordAttribute
from numba.core.typing.templates import infer_getattr
from numba.extending import overload_method

from tickrail._native import OUT_CAPACITY
from tickrail.strategy.compiled.ahead import ask_for
from tickrail.strategy.compiled.layouts import OUT_DTYPE
from tickrail.strategy.compiled.untouched import HandlerCompiler, untouched
from tickrail.strategy.compiled.wishes import Wish

__all__ = ["OUT_TYPE", "ask_for", "handler", "untouched"]

OUT_TYPE = numba.from_dtype(OUT_DTYPE)


def handler(function: Callable[..., None]) -> Any:
    """``function`` as numba compiles it for the loop: with Python's exceptions, checked bounds, and ticks only read."""
    return numba.njit(error_model="python", boundscheck=True, pipeline_class=HandlerCompiler)(function)


@numba.njit(error_model="python")
def _wish(  # noqa: PLR0917  (numba passes arguments by place)
    out: Any, kind: int, instrument: int, quantity: float, ts_ns: int, interval_ns: int, tag: int
) -> None:
    place = out.count
    if place >= OUT_CAPACITY:
        raise OverflowError("out is full: a handler asks for at most 1024 things in one call")
    record = out.records[place]
    record.kind = kind
    record.instrument = instrument
    record.quantity = quantity
    record.ts_ns = ts_ns
    record.interval_ns = interval_ns
    record.tag = tag
    out.count = place + 1


BUY, SELL, TARGET, CANCEL = int(Wish.BUY), int(Wish.SELL), int(Wish.TARGET), int(Wish.CANCEL)
TIMER_AT, TIMER_EVERY, CANCEL_TIMER = int(Wish.TIMER_AT), int(Wish.TIMER_EVERY), int(Wish.CANCEL_TIMER)
SUBSCRIBE, UNSUBSCRIBE, STOP = int(Wish.SUBSCRIBE), int(Wish.UNSUBSCRIBE), int(Wish.STOP)
BUY_ON, SELL_ON, AMEND = int(Wish.BUY_ON), int(Wish.SELL_ON), int(Wish.AMEND)


def _of_out(out: Any, implementation: Callable[..., None]) -> Callable[..., None] | None:
    """A method of this record, but of no other."""
    return implementation if out == OUT_TYPE else None


#: Flags of records of terms, as in ``rust/core/src/handler/out.rs``.
HAS_LIMIT, HAS_STOP, HAS_EXPIRY, HAS_QUANTITY, POST_ONLY, REDUCE_ONLY = (1 << bit for bit in range(16, 22))


def _is_given(argument: Any) -> bool:
    """Whether an argument of that type was given, and is not ``None``."""
    value = argument.value if isinstance(argument, types.Omitted) else argument
    return value is not None and value is not types.none


def _flags(limit: Any, stop: Any, expires_ns: Any = None) -> int:
    """What a record of terms says, by the types of the arguments: a price that is given is never taken for none."""
    given = {HAS_LIMIT: limit, HAS_STOP: stop, HAS_EXPIRY: expires_ns}
    return sum(flag for flag, argument in given.items() if _is_given(argument))


@numba.njit(error_model="python")
def _on_terms(  # noqa: PLR0917
    out: Any, kind: int, instrument: int, quantity: float, ts_ns: int, limit: float, stop: float
) -> None:
    bits = int(np.float64(limit).view(np.int64)), int(np.float64(stop).view(np.int64))
    _wish(out, kind, instrument, quantity, ts_ns, bits[0], bits[1])


@numba.njit(error_model="python")
def _code(time_in_force: int) -> int:
    if time_in_force < 0 or time_in_force > 4:
        raise ValueError("time_in_force is none of TimeInForceCode")
    return time_in_force << 8


def _order(name: str, at_market: int, on_terms: int) -> Callable[..., Any]:
    """``buy`` or ``sell``: at the market where nothing else is said, which stays as cheap as it was."""

    def chosen(  # noqa: PLR0917  (and so do its methods)
        out,
        instrument,
        quantity,
        limit=None,
        stop=None,
        time_in_force=0,
        expires_ns=None,
        post_only=False,
        reduce_only=False,
    ):
        said = on_terms | _flags(limit, stop, expires_ns)
        later = (limit, stop, time_in_force, expires_ns, post_only, reduce_only)
        if all(isinstance(one, types.Omitted) for one in later):

            def order(  # noqa: PLR0917
                out,
                instrument,
                quantity,
                limit=None,
                stop=None,
                time_in_force=0,
                expires_ns=None,
                post_only=False,
                reduce_only=False,
            ):
                _wish(out, at_market, instrument, quantity, 0, 0, 0)
        else:

            def order(  # noqa: PLR0917
                out,
                instrument,
                quantity,
                limit=None,
                stop=None,
                time_in_force=0,
                expires_ns=None,
                post_only=False,
                reduce_only=False,
            ):
                kind = said | _code(time_in_force)
                if post_only:
                    kind |= POST_ONLY
                if reduce_only:
                    kind |= REDUCE_ONLY
                expires = 0 if expires_ns is None else expires_ns
                worst = 0.0 if limit is None else limit
                wakes = 0.0 if stop is None else stop
                _on_terms(out, kind, instrument, quantity, expires, worst, wakes)

        return _of_out(out, order)

    chosen.__name__ = chosen.__qualname__ = f"_{name}"  # by which errors tell what was called
    return chosen


overload_method(types.Record, "buy")(_order("buy", BUY, BUY_ON))
overload_method(types.Record, "sell")(_order("sell", SELL, SELL_ON))


@overload_method(types.Record, "amend")
def _amend(out, order, quantity=None, limit=None, stop=None):
    said = AMEND | _flags(limit, stop) | (HAS_QUANTITY if _is_given(quantity) else 0)

    def amend(out, order, quantity=None, limit=None, stop=None):
        most = 0.0 if quantity is None else quantity
        worst = 0.0 if limit is None else limit
        wakes = 0.0 if stop is None else stop
        _on_terms(out, said, order, most, 0, worst, wakes)

    return _of_out(out, amend)


@overload_method(types.Record, "target")
def _target(out, instrument, quantity):
    return _of_out(out, lambda out, instrument, quantity: _wish(out, TARGET, instrument, quantity, 0, 0, 0))


@overload_method(types.Record, "cancel")
def _cancel(out, order):
    return _of_out(out, lambda out, order: _wish(out, CANCEL, 0, 0.0, 0, 0, order))


@overload_method(types.Record, "schedule_at")
def _schedule_at(out, ts_ns, tag):
    return _of_out(out, lambda out, ts_ns, tag: _wish(out, TIMER_AT, 0, 0.0, ts_ns, 0, tag))


@overload_method(types.Record, "schedule_every")
def _schedule_every(out, interval_ns, tag):
    return _of_out(out, lambda out, interval_ns, tag: _wish(out, TIMER_EVERY, 0, 0.0, 0, interval_ns, tag))


@overload_method(types.Record, "cancel_timer")
def _cancel_timer(out, tag):
    return _of_out(out, lambda out, tag: _wish(out, CANCEL_TIMER, 0, 0.0, 0, 0, tag))


@overload_method(types.Record, "subscribe")
def _subscribe(out, instrument):
    return _of_out(out, lambda out, instrument: _wish(out, SUBSCRIBE, instrument, 0.0, 0, 0, 0))


@overload_method(types.Record, "unsubscribe")
def _unsubscribe(out, instrument):
    return _of_out(out, lambda out, instrument: _wish(out, UNSUBSCRIBE, instrument, 0.0, 0, 0, 0))


@overload_method(types.Record, "stop")
def _stop(out):
    return _of_out(out, lambda out: _wish(out, STOP, 0, 0.0, 0, 0, 0))


@infer_getattr
class _Members(RecordAttribute):
    """Methods and fields of ``out``: numba asks nobody else for a type that has a template of its own.

    In its list for all records the template of fields may stand before our methods, which it refuses as unknown fields:
    it does where the process compiled anything before this module was imported.
    """

    key = OUT_TYPE  # type: ignore[assignment]  # numba takes types as well as their classes

    def generic_resolve(self, record: Any, attr: str) -> Any:  # type: ignore[override]
        """The method, or else the field."""
        for template in self.context._attributes[types.Record]:
            if getattr(template, "_attr", None) == attr and (found := template.resolve(record, attr)) is not None:
                return found
        return super().generic_resolve(record, attr)
