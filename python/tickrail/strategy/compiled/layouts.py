"""What compiled handlers see, byte by byte as the native side has it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tickrail._native import ABI_VERSION, LAYOUT_VERSION, OUT_CAPACITY
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE

__all__ = [
    "ANY_DTYPE",
    "OUT_DTYPE",
    "TIMER_DTYPE",
    "UPDATE_DTYPE",
    "WISH_DTYPE",
    "StatusCode",
    "TimeInForceCode",
    "layout_text",
]


class StatusCode(IntEnum):
    """How far an order got: the numbers of ``update.status``, which never change."""

    PENDING = 0
    ACCEPTED = 1
    FILLED = 2
    CANCELED = 3
    REJECTED = 4
    SUBMITTED = 5
    PARTIALLY_FILLED = 6
    EXPIRED = 7


class TimeInForceCode(IntEnum):
    """How long an order of a compiled handler stands; the numbers never change."""

    GTC = 0
    IOC = 1
    FOK = 2
    DAY = 3
    GTD = 4


def _any() -> np.dtype[np.void]:
    """All names of all kinds: which of them mean something, ``kind`` says."""
    fields: dict[str, tuple[Any, int]] = {}
    for known in (TICK_DTYPE, QUOTE_DTYPE, TRADE_DTYPE, BAR_DTYPE):
        fields.update({name: (field[0], field[1]) for name, field in (known.fields or {}).items()})
    spec: Any = {
        "names": list(fields),
        "formats": [form for form, _ in fields.values()],
        "offsets": [offset for _, offset in fields.values()],
        "itemsize": TICK_DTYPE.itemsize,
    }
    dtype: np.dtype[np.void] = np.dtype(spec)
    return dtype


ANY_DTYPE: Final = _any()
"""A record of any kind, for ``on_tick`` and ``on_batch``: ``bid``, ``price``, ``open`` are names of the same bytes."""
TIMER_DTYPE: Final = np.dtype([("ts_ns", "<i8"), ("tag", "<i8"), ("count", "<u8")])
"""A timer that fired: when it was due, what the strategy calls it, and which time it is, from 1."""
UPDATE_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("quantity", "<f8"),
        ("filled", "<f8"),
        ("price", "<f8"),
        ("fee", "<f8"),
        ("order", "<u4"),
        ("instrument", "<u4"),
        ("side", "|u1"),
        ("status", "|u1"),
        ("spare", "|u1", (6,)),
    ]
)
"""A change of an order; ``side`` as ``SideCode``, ``status`` as ``StatusCode``."""
WISH_DTYPE: Final = np.dtype(
    [
        ("kind", "<u4"),
        ("instrument", "<u4"),
        ("quantity", "<f8"),
        ("ts_ns", "<i8"),
        ("interval_ns", "<i8"),
        ("tag", "<i8"),
    ]
)
"""What is asked for; orders on terms have the bits of their limit in ``interval_ns``, of their stop in ``tag``. (Names
of the same bytes would do in machine code, but numpy gives such records no buffer.)"""
OUT_DTYPE: Final = np.dtype([("count", "<i8"), ("records", WISH_DTYPE, (OUT_CAPACITY,))])


def layout_text() -> str:
    """Our side of the interface as one text; the native side refuses another than its own."""
    offsets = _offsets(TICK_DTYPE)
    head = {name: offset for name, offset in offsets.items() if not name.startswith("value_")}
    return "; ".join(
        [
            f"abi {ABI_VERSION}, tick layout {LAYOUT_VERSION}",
            f"Tick[{TICK_DTYPE.itemsize}]({_places({**head, 'values': offsets['value_0']})})",
            _described("TimerRecord", TIMER_DTYPE),
            _described("UpdateRecord", UPDATE_DTYPE),
            _described("OutRecord", WISH_DTYPE),
            f"Out[{OUT_DTYPE.itemsize}](count@0,records@{_offsets(OUT_DTYPE)['records']} x {OUT_CAPACITY})",
        ]
    )


def _described(name: str, dtype: np.dtype[np.void]) -> str:
    return f"{name}[{dtype.itemsize}]({_places(_offsets(dtype))})"


def _offsets(dtype: np.dtype[np.void]) -> dict[str, int]:
    return {name: field[1] for name, field in (dtype.fields or {}).items()}


def _places(offsets: dict[str, int]) -> str:
    return ",".join(f"{name}@{offset}" for name, offset in offsets.items())
