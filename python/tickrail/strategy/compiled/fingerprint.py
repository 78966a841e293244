"""Whether machine code on disk is that of this function: what it is made of, and all that it reaches, as one hash.

The compiler's own check looks at the file of the function alone: it would go on with old code after a change in another
function that is called, or in a constant that is read.
"""

from __future__ import annotations

import hashlib
import math
import types
from collections.abc import Callable
from enum import EnumMeta, IntEnum
from typing import Any, Final

import numpy as np

__all__ = ["Unknown", "fingerprint"]

_PLAIN: Final = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))


class Unknown(Exception):
    """A function reaches something whose changes cannot be told."""


def fingerprint(*parts: object) -> str:
    """A hash of texts and functions, and of all that the functions reach.

    Raises:
        Unknown: Names what it is.
    """
    hasher = hashlib.sha256()
    seen: set[int] = set()
    for part in parts:
        for piece in _pieces(part, seen):
            hasher.update(len(piece).to_bytes(8, "little") + piece)
    return hasher.hexdigest()


def _pieces(value: Any, seen: set[int]) -> list[bytes]:
    value = getattr(value, "py_func", value)  # a function that was compiled by the user
    for kinds, describe in _DESCRIBED:
        if isinstance(value, kinds):
            return describe(value, seen)
    if value in _KNOWN:
        return [repr(value).encode()]
    raise Unknown(f"{type(value).__name__} {getattr(value, '__name__', value)!r:.60}")


def _plain(value: Any, _seen: set[int]) -> list[bytes]:
    return [f"{type(value).__name__} {value!r}".encode()]


def _numbers(value: Any, _seen: set[int]) -> list[bytes]:
    return [str(value.dtype).encode(), str(value.shape).encode(), value.tobytes()]


def _items(value: Any, seen: set[int]) -> list[bytes]:
    items = sorted(value, key=repr) if isinstance(value, frozenset) else value
    return [type(value).__name__.encode(), *(piece for item in items for piece in _pieces(item, seen))]


def _codes(value: EnumMeta, _seen: set[int]) -> list[bytes]:
    if not issubclass(value, IntEnum):
        raise Unknown(f"enum {value.__name__}")
    return [f"{value.__name__} {[(name, int(code)) for name, code in value.__members__.items()]}".encode()]


def _module(value: types.ModuleType, _seen: set[int]) -> list[bytes]:
    if value not in (math, np):
        raise Unknown(f"module {value.__name__}")  # what is read of it may change without a trace here
    return [value.__name__.encode(), str(getattr(value, "__version__", "")).encode()]


def _function(function: types.FunctionType, seen: set[int]) -> list[bytes]:
    if id(function) in seen:
        return [b"again"]
    seen.add(id(function))
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    known = [(name, function.__globals__[name]) for name in _names(function.__code__) if name in function.__globals__]
    reached = [(name.encode(), _pieces(value, seen)) for name, value in known]
    return [
        (function.__module__ or "").encode(),  # whose name machine code on disk refers to
        *_code(function.__code__, seen),
        *(piece for item in (function.__defaults__ or (), *cells) for piece in _pieces(item, seen)),
        *(piece for name, pieces in reached for piece in (name, *pieces)),
    ]


def _names(code: types.CodeType) -> list[str]:
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names(part))})


def _code(code: types.CodeType, seen: set[int]) -> list[bytes]:
    consts = [piece for const in code.co_consts for piece in _pieces(const, seen)]
    return [code.co_code, repr((code.co_names, code.co_varnames, code.co_argcount)).encode(), *consts]


_DESCRIBED: Final[tuple[tuple[Any, Callable[[Any, set[int]], list[bytes]]], ...]] = (
    (_PLAIN, _plain),
    ((np.generic, np.ndarray), _numbers),
    (np.dtype, lambda value, _: [repr(value).encode()]),
    ((tuple, list, frozenset), _items),
    (types.CodeType, _code),
    (types.FunctionType, _function),
    (types.ModuleType, _module),
    (EnumMeta, _codes),
    ((types.BuiltinFunctionType, np.ufunc), lambda value, _: [repr(value).encode()]),
)
#: What handlers call that is part of the language.
_KNOWN: Final = (int, float, bool, range, len)
