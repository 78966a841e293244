"""What a compiled handler raised: machine code only says that it did."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE
from tickrail.strategy.compiled.code import Compiled
from tickrail.strategy.compiled.form import KINDS, UnsafeAddress
from tickrail.strategy.compiled.layouts import ANY_DTYPE, OUT_DTYPE, TIMER_DTYPE, UPDATE_DTYPE

__all__ = ["raised_by"]

_TICKS = {"on_tick": ANY_DTYPE, "on_quote": QUOTE_DTYPE, "on_trade": TRADE_DTYPE, "on_bar": BAR_DTYPE}
_OTHERS = {"on_timer": TIMER_DTYPE, "on_order_update": UPDATE_DTYPE}
_KINDS = {int(kind): name for name, kind in KINDS.items()}


def raised_by(compiled: Compiled, handler: str, tick: Any) -> dict[str, Any] | None:
    """Type, message and traceback of what ``handler`` raised at ``tick``.

    The call that failed is done again, from the state that it began with. Where that was too large to be kept, the
    handler is called on a copy of the state as it was left: ``None`` where it raises nothing then.
    """
    if isinstance(compiled.handlers.get(handler), UnsafeAddress) or handler not in compiled.handlers:
        return None
    began = compiled.code.failure()
    if began is not None:
        state, given = np.frombuffer(began[0], compiled.state.dtype).copy(), began[1]
    elif tick is not None and handler in _TICKS:
        state, given = compiled.state.copy(), _bytes(tick)
    else:
        return None
    out = np.zeros(1, OUT_DTYPE)
    functions: dict[str, Any] = {}
    try:
        for name, record in _calls(compiled, handler, given):
            if name not in functions:
                functions[name] = _again(compiled.handlers[name])
            functions[name](record, state[0], out[0])
            out["count"] = 0
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        return {"type": type(error).__name__, "message": str(error), "traceback": text, "exception": error}
    return None


def _calls(compiled: Compiled, handler: str, given: bytes) -> Iterator[tuple[str, Any]]:
    """What was called with what, in order."""
    if handler == "on_batch":
        yield handler, _records(given, ANY_DTYPE)
    elif handler in _OTHERS:
        yield handler, _records(given, _OTHERS[handler])[0]
    else:
        for number, kind in enumerate(_records(given, TICK_DTYPE)["kind"]):
            name = _KINDS.get(int(kind), "on_tick")
            name = name if name in compiled.handlers else "on_tick"
            if name in compiled.handlers:
                yield name, _records(given, _TICKS[name])[number]


def _records(given: bytes, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    return np.frombuffer(bytearray(given), dtype)


def _again(function: Any) -> Any:
    import numba

    return numba.njit(error_model="python", boundscheck=True)(getattr(function, "py_func", function))


def _bytes(tick: Any) -> bytes:
    """The 64 bytes of the record, which is what a tick pickles to."""
    record: bytes = tick.__reduce__()[1][1]
    assert len(record) == TICK_DTYPE.itemsize
    return record
