"""The methods that a run calls on a strategy, if its class defines them.

=============================  ===================================================================================
``on_start(self)``             the run begins; orders, timers and subscriptions may be asked for from here on
``on_tick(self, tick)``        every tick of the instruments subscribed to, but for kinds that have their own handler
``on_quote(self, tick)``       each quote: ``bid``, ``ask``, ``bid_size``, ``ask_size``, ``mid``, ``spread``
``on_trade(self, tick)``       each trade: ``price``, ``size``, ``side``
``on_bar(self, tick)``         each bar, at its close: ``open``, ``high``, ``low``, ``close``, ``volume``
``on_gap(self, tick)``         records are missing before the next one: ``values`` are the first and the last number,
                               how many (0: unknown), and why (0: a jump, 1: a reconnection)
``on_stale(self, tick)``       the feed is silent: since ``sequence``, ns UTC, for ``values[0]`` ns
``ticks(self)``                a generator, ``while True: tick = yield``, in place of the six above: the fastest plain
                               Python; opened after ``on_start``, and its return stops the strategy
``on_batch(self, batch)``      ticks by the batch, in place of all of these
``on_timer(self, event)``      a timer that was set without a callable of its own
``on_order_update(self, u)``   an order of this strategy was accepted, filled, cancelled or rejected
``on_event(self, event)``      something that is no tick, timer or order update: the ``SpawnResult`` of a coroutine that
                               was begun without a callback
``on_pause`` ``on_resume``     the operator paused the strategy, or let it go on
``on_stop(self)``              the run is over; the last place to look at positions
=============================  ===================================================================================

The base class has none of those that are called by the tick: what a class does not define costs nothing.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from tickrail.domain.near import near_miss
from tickrail.errors import HandlerError
from tickrail.strategy.compiled.form import HANDLERS as COMPILED_HANDLERS
from tickrail.strategy.compiled.form import check_form, is_compiled

__all__ = ["HANDLERS", "PER_TICK", "TICKS", "check_handlers"]

TICKS: Final = "ticks"

PER_TICK: Final = ("on_tick", "on_quote", "on_trade", "on_bar", "on_gap", "on_stale")
HANDLERS: Final[dict[str, int]] = {
    **dict.fromkeys(PER_TICK, 1),
    **dict.fromkeys(("on_batch", "on_timer", "on_order_update", "on_event"), 1),
    **dict.fromkeys(("on_start", "on_stop", "on_pause", "on_resume"), 0),
}
"""Each handler with the number of its arguments beside ``self``."""

NEAR: Final = 0.85  # on_tik, on_quotes, on_orders_update; a method called on_fill stays the user's own


def check_handlers(cls: type) -> None:
    """Refuse a class whose handlers no run could call.

    Raises:
        HandlerError: Naming the methods.
    """
    compiled = is_compiled(cls)
    if compiled:
        check_form(cls)
    for name in vars(cls):
        if compiled and name in COMPILED_HANDLERS:
            continue
        if name in HANDLERS:
            _check_one(cls, name)
        elif name.startswith("on_") and (meant := near_miss(name, HANDLERS, cutoff=NEAR)) and not hasattr(cls, meant):
            raise _error(
                cls,
                f"{name} is called by nothing; did you mean '{meant}'?",
                name,
                hint="other methods may have any name that is not nearly that of a handler",
            )
    if TICKS in vars(cls):
        _check_ticks(cls)
    _check_mixture(cls)


def _check_ticks(cls: type) -> None:
    """A method called so is what the run iterates; one that only hands on a generator would be called by nothing."""
    found: Any = inspect.getattr_static(cls, TICKS)
    found = getattr(found, "__func__", found)  # a staticmethod or classmethod
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise _error(cls, f"{TICKS} is 'async def', and nothing would await it", TICKS, hint="write a plain generator")
    if callable(found) and not isinstance(found, type) and not inspect.isgeneratorfunction(found):
        raise _error(
            cls,
            f"{TICKS} is not a generator: write 'yield' in it, or give the method another name",
            TICKS,
            hint="one that hands on another generator says so with 'yield from'",
        )


def _check_one(cls: type, name: str) -> None:
    handler: Any = inspect.getattr_static(cls, name)
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise _error(cls, f"{name} is 'async def', and nothing would await it", name, hint="handlers are plain methods")
    if inspect.isgeneratorfunction(handler):
        raise _error(
            cls, f"{name} contains 'yield', and nothing would iterate it", name, hint="handlers are plain methods"
        )
    if inspect.isfunction(handler) and not _takes(handler, HANDLERS[name]):
        expected = {0: f"def {name}(self)", 1: f"def {name}(self, {_argument(name)})"}[HANDLERS[name]]
        raise _error(
            cls,
            f"{name}{inspect.signature(handler)} cannot be called as it will be; expected {expected}",
            name,
            hint="a compiled strategy also has a state_dtype" if _takes(handler, 2) else None,
        )


def _takes(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * (count + 1))
    except TypeError:
        return False
    return True


def _argument(name: str) -> str:
    return {"on_batch": "batch", "on_timer": "event", "on_event": "event", "on_order_update": "update"}.get(
        name, "tick"
    )


def _check_mixture(cls: type) -> None:
    is_generator = inspect.isgeneratorfunction(inspect.getattr_static(cls, TICKS, None))
    forms = {
        "in batches": ["on_batch"] if hasattr(cls, "on_batch") else [],
        "from a generator": [TICKS] if is_generator else [],
        "one by one": [name for name in PER_TICK if hasattr(cls, name)],
    }
    defined = [names for names in forms.values() if names]
    if len(defined) > 1:
        first, *others = [" and ".join(names) for names in defined]
        raise _error(
            cls,
            f"defines {first} together with {' and '.join(others)}: each tick would come twice, in two orders",
            *(name for names in defined for name in names),
            hint=f"take ticks {' or '.join(form for form, names in forms.items() if names)};"
            " with max_ticks=1 for batches all forms give the same orders",
        )


def _error(cls: type, message: str, *names: str, hint: str | None = None) -> HandlerError:
    separator = " " if message.startswith("defines") else "."
    return HandlerError(f"{cls.__name__}{separator}{message}", strategy=cls.__name__, handlers=names, hint=hint)
