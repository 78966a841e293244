"""The 64-byte record as numpy sees it: dtypes over the same bytes, and the codes of kinds, sides and flags.

``TICK_DTYPE`` covers every byte once. ``QUOTE_DTYPE``, ``TRADE_DTYPE`` and ``BAR_DTYPE`` name the same bytes by kind,
so ``records.view(QUOTE_DTYPE)["bid"]`` copies nothing; they hold where ``records["kind"]`` says so.

    >>> QUOTE_DTYPE.itemsize, QUOTE_DTYPE.fields["bid"][1]
    (64, 32)
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tickrail.domain.kinds import Flag, Kind, SideCode

__all__ = ["BAR_DTYPE", "QUOTE_DTYPE", "TICK_DTYPE", "TRADE_DTYPE", "Flag", "Kind", "SideCode", "dtype_of"]

_SIZE: Final = 64
_HEAD: Final = (
    ("ts_event", 0, "<i8"),
    ("ts_init", 8, "<i8"),
    ("sequence", 16, "<u8"),
    ("instrument", 24, "<u4"),
    ("kind", 28, "|u1"),
    ("side", 29, "|u1"),
    ("flags", 30, "<u2"),
)


def _dtype(*fields: tuple[str, int, str]) -> np.dtype[np.void]:
    names, offsets, formats = zip(*fields, strict=True)
    spec: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": _SIZE}
    dtype: np.dtype[np.void] = np.dtype(spec)  # numpy's stub wants lists of literals in such a mapping
    return dtype


TICK_DTYPE: Final = _dtype(*_HEAD, *((f"value_{i}", 32 + 8 * i, "<f8") for i in range(4)))
QUOTE_DTYPE: Final = _dtype(
    *_HEAD, ("bid", 32, "<f8"), ("ask", 40, "<f8"), ("bid_size", 48, "<f8"), ("ask_size", 56, "<f8")
)
TRADE_DTYPE: Final = _dtype(*_HEAD, ("price", 32, "<f8"), ("size", 48, "<f8"))
# A bar has its volume where other kinds have their sequence.
BAR_DTYPE: Final = _dtype(
    *((name, offset, form) if name != "sequence" else ("volume", offset, "<f8") for name, offset, form in _HEAD),
    ("open", 32, "<f8"),
    ("high", 40, "<f8"),
    ("low", 48, "<f8"),
    ("close", 56, "<f8"),
)


def dtype_of(kind: str) -> np.dtype[np.void]:
    """The dtype that names the numbers of ``kind`` (``"quote"``, ``"trade"`` or ``"bar"``, in any case).

    Raises:
        ValueError: Another kind.
    """
    found = {"QUOTE": QUOTE_DTYPE, "TRADE": TRADE_DTYPE, "BAR": BAR_DTYPE}.get(kind.upper())
    if found is None:
        msg = f"kind is {kind!r}: expected 'quote', 'trade' or 'bar'"
        raise ValueError(msg)
    return found
