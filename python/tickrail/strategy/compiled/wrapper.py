"""The source of the C functions around a strategy's handlers.

It is text, written to a file of its own for each strategy: numba keeps machine code on disk for functions that come
from a file. ``HANDLE_*``, ``STATE``, ``OUT``, ``ask_for`` and ``untouched`` are put into the module before it runs.
Exceptions end in the wrappers: numba would print what leaves a C callback, and go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tickrail._native import MOST_OFFERED

__all__ = ["wrapper_source"]

_HEAD: Final = '''\
"""Machine code around the handlers of {owner}; written by tickrail, and safe to delete."""

from numba import carray, cfunc, types

TICKS = types.int64(types.voidptr, types.int64, types.voidptr, types.voidptr)
RECORD = types.int64(types.voidptr, types.voidptr, types.voidptr)
'''

_TAKE: Final = """

@cfunc(TICKS, cache=CACHED, error_model="numpy")
def take(ticks, count, state, out):
    anys = carray(ticks, (count,), ANY)
{views}    own = carray(state, (1,), STATE)
    wishes = carray(out, (1,), OUT)
    taken = 0
    try:
        while taken < count:
            ask_for(ticks, taken + {ahead})
            kind = anys[taken].kind
{calls}            taken += 1
            if wishes[0].count != 0:
                break
    except Exception:
        return -(taken + 1)
    return taken
"""

_BATCH: Final = """

@cfunc(TICKS, cache=CACHED, error_model="numpy")
def batch(ticks, count, state, out):
    own = carray(state, (1,), STATE)
    wishes = carray(out, (1,), OUT)
    try:
        HANDLE_BATCH(untouched(carray(ticks, (count,), ANY)), own[0], wishes[0])
    except Exception:
        return 1
    return 0
"""

_RECORD: Final = """

@cfunc(RECORD, cache=CACHED, error_model="numpy")
def {name}(record, state, out):
    own = carray(state, (1,), STATE)
    wishes = carray(out, (1,), OUT)
    try:
        {handler}(carray(record, (1,), {dtype})[0], own[0], wishes[0])
    except Exception:
        return 1
    return 0
"""

#: Handler, code of its kind, name of the view.
_BY_KIND: Final = (("on_quote", 1, "QUOTE"), ("on_trade", 2, "TRADE"), ("on_bar", 3, "BAR"))


def wrapper_source(owner: str, handlers: Iterable[str]) -> str:
    """The module around the handlers so named."""
    defined = set(handlers)
    parts = [_HEAD.format(owner=owner)]
    if defined & {"on_tick", *(name for name, _, _ in _BY_KIND)}:
        parts.append(_take(defined))
    if "on_batch" in defined:
        parts.append(_BATCH)
    if "on_timer" in defined:
        parts.append(_RECORD.format(name="timer", handler="HANDLE_TIMER", dtype="TIMER"))
    if "on_order_update" in defined:
        parts.append(_RECORD.format(name="update", handler="HANDLE_UPDATE", dtype="UPDATE"))
    return "".join(parts)


def _take(defined: set[str]) -> str:
    views, calls, word = "", "", "if"
    for name, code, view in _BY_KIND:
        if name in defined:
            views += f"    {view.lower()}s = carray(ticks, (count,), {view})\n"
            calls += f"            {word} kind == {code}:\n"
            calls += f"                HANDLE_{view}({view.lower()}s[taken], own[0], wishes[0])\n"
            word = "elif"
    if "on_tick" in defined:
        indent = "            " if word == "if" else "                "
        calls += "" if word == "if" else "            else:\n"
        calls += f"{indent}HANDLE_TICK(anys[taken], own[0], wishes[0])\n"
    return _TAKE.format(ahead=MOST_OFFERED, views=views, calls=calls)
