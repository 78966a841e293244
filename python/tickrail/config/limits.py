"""What no layer may bring in: values nested too deep, NaN, infinities, long integers, things that TOML cannot say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import SecretStr

from tickrail.config.origins import Path

__all__ = ["MAX_DEPTH", "is_plain", "offences", "too_deep"]

MAX_DEPTH: Final = 32  # tables go four deep; the rest is room for the parameters of a strategy
INT64: Final = range(-(2**63), 2**63)
SCALARS: Final = (str, int, float, bool, datetime, date, time, FilePath, SecretStr)


def too_deep() -> str:
    """The message for values nested too deep."""
    return f"nested more than {MAX_DEPTH} deep"


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether ``value`` is certainly within the limits: what nearly every file is, found in a fifth of the time.

    What is not, ``offences`` looks at again.
    """
    kind = type(value)
    if kind is dict:
        return depth < MAX_DEPTH and _is_plain_table(value, depth + 1)
    if kind is int:
        return value in INT64
    if kind is str:
        return bool(value.isascii())
    if kind is list:
        return depth < MAX_DEPTH and all(is_plain(one, depth + 1) for one in value)
    return kind is bool or (kind is float and math.isfinite(value))


def _is_plain_table(table: dict[Any, Any], depth: int) -> bool:
    for key, one in table.items():
        kind = type(one)
        if type(key) is not str:
            return False
        if kind is str:  # most values are text, and a call for each would take more than the look at it
            if not one.isascii():
                return False
        elif not is_plain(one, depth):
            return False
    return True


def offences(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Each place below ``path`` that breaks a limit, with what is wrong there."""
    if len(path) > MAX_DEPTH:
        yield path[:4], too_deep()
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from offences((*path, key), item)
            else:
                yield path, f"key {key!r} is no text"
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from offences((*path, str(number)), item)
    else:
        wrong = _wrong(value)
        if wrong:
            yield path, wrong


def _wrong(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, int) and value not in INT64:
        return "a whole number of more than 64 bits"
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "text that is not UTF-8"
    return (
        None
        if isinstance(value, SCALARS)
        else f"a value of type {type(value).__name__} has no place in a configuration"
    )
