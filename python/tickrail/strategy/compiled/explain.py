"""What a compiled handler raised: machine code only says that it did."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np

from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE
from tickrail.strategy.compiled.code import Compiled
from tickrail.strategy.compiled.form import UnsafeAddress
from tickrail.strategy.compiled.layouts import ANY_DTYPE, OUT_DTYPE

__all__ = ["raised_by"]

_RECORDS = {"on_tick": ANY_DTYPE, "on_quote": QUOTE_DTYPE, "on_trade": TRADE_DTYPE, "on_bar": BAR_DTYPE}


def raised_by(compiled: Compiled, handler: str, tick: Any) -> dict[str, Any] | None:
    """Type, message and traceback of what ``handler`` raises at ``tick``, on a copy of the state as it was left.

    ``None`` where it raises nothing now: the state that made it fail is gone.
    """
    function = compiled.handlers.get(handler)
    if tick is None or handler not in _RECORDS or function is None or isinstance(function, UnsafeAddress):
        return None
    import numba

    record = np.zeros(1, _RECORDS[handler])
    record.view(np.uint8)[:] = np.frombuffer(_bytes(tick), np.uint8)
    again = numba.njit(error_model="python", boundscheck=True)(getattr(function, "py_func", function))
    try:
        again(record[0], compiled.state.copy()[0], np.zeros(1, OUT_DTYPE)[0])
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        return {"type": type(error).__name__, "message": str(error), "traceback": text, "exception": error}
    return None


def _bytes(tick: Any) -> bytes:
    """The 64 bytes of the record, which is what a tick pickles to."""
    record: bytes = tick.__reduce__()[1][1]
    assert len(record) == TICK_DTYPE.itemsize
    return record
