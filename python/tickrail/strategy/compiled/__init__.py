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
"""

from tickrail.strategy.compiled.form import UnsafeAddress, is_compiled, unsafe_address
from tickrail.strategy.compiled.layouts import ANY_DTYPE, TIMER_DTYPE, UPDATE_DTYPE, StatusCode
from tickrail.strategy.compiled.wishes import Out

__all__ = [
    "ANY_DTYPE",
    "TIMER_DTYPE",
    "UPDATE_DTYPE",
    "Out",
    "StatusCode",
    "UnsafeAddress",
    "is_compiled",
    "unsafe_address",
]
