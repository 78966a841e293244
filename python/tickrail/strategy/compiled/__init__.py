"""Compiled strategies: handlers that numba turns into machine code, which the loop calls without Python.

A class with a ``state_dtype`` is one. Its handlers are plain functions of a record, the state, and what they ask for::

    class EmaCross(Strategy):
        fast: int = 20

        state_dtype = np.dtype([("fast", "f8"), ("x", "f8")])

        @staticmethod
        def on_quote(tick, state, out):
            mid = (tick.bid + tick.ask) * 0.5
            state.x += 2 / (state.fast + 1) * (mid - state.x)
            out.target(tick.instrument, 1.0 if mid > state.x else 0.0)

Fields of the state that are named as a parameter hold its value when the run begins; the others are zero. ``on_start``
and ``on_stop`` are ordinary methods, which reach the state as ``self.state``.

The dtypes are made when they are first asked for: who has no compiled strategy pays nothing for numpy.
"""

import importlib
import typing

from tickrail.strategy.compiled.form import UnsafeAddress, is_compiled, unsafe_address

if typing.TYPE_CHECKING:
    from tickrail.strategy.compiled.layouts import ANY_DTYPE, TIMER_DTYPE, UPDATE_DTYPE, StatusCode, TimeInForceCode
    from tickrail.strategy.compiled.wishes import Out

__all__ = [
    "ANY_DTYPE",
    "TIMER_DTYPE",
    "UPDATE_DTYPE",
    "Out",
    "StatusCode",
    "TimeInForceCode",
    "UnsafeAddress",
    "is_compiled",
    "unsafe_address",
]

_WHERE = {
    **dict.fromkeys(("ANY_DTYPE", "TIMER_DTYPE", "UPDATE_DTYPE", "StatusCode", "TimeInForceCode"), "layouts"),
    "Out": "wishes",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _WHERE:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name, obj=__name__)
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
