"""Time columns of any form as int64 ns UTC, exactly: nothing passes through a float that could not hold it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tickrail.data.importers.extra import require
from tickrail.data.importers.layout import TIME_UNITS
from tickrail.data.importers.zones import Zone
from tickrail.errors import ImportFormatError

__all__ = ["DIGITS", "time_column"]

#: Decimal places after which a time in that unit is finer than a nanosecond.
DIGITS: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}


def time_column(column: Any, unit: str | None, zone: Zone | None, shift_ns: int, origin: str) -> Any:
    """The Arrow column as int64 ns UTC; a null stays one.

    Args:
        column: Timestamps, dates, integers, or decimals with ``DIGITS[unit]`` places.
        unit: Of integers and decimals.
        zone: Of timestamps that name none; ``None``: UTC.
        shift_ns: Added to every time.
        origin: For messages.

    Raises:
        ImportFormatError: Another type, integers without a unit, or a time beyond the year 2262.
    """
    pa, pc = require("pyarrow"), require("pyarrow.compute")
    local = False
    try:
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            local = getattr(column.type, "tz", None) is None
            naive = column.cast(pa.timestamp("ns", tz=getattr(column.type, "tz", None)))
            out = naive.cast(pa.int64())
        elif pa.types.is_decimal(column.type):
            out = _unscaled(column)
        elif pa.types.is_integer(column.type):
            if unit is None:
                msg = f"{origin}: the times are integers of an unknown unit"
                raise ImportFormatError(msg, hint="say --time-unit s, ms, us or ns (time_unit=)")
            out = pc.multiply_checked(column.cast(pa.int64()), TIME_UNITS[unit])
        else:
            msg = f"{origin}: the times have type {column.type}; expected timestamps, dates or integers"
            raise ImportFormatError(msg)
        if local and zone is not None:
            out = _zoned(out, zone)
        return pc.add_checked(out, shift_ns) if shift_ns else out
    except pa.ArrowInvalid as error:
        msg = f"{origin}: a time is no moment between 1677 and 2262: {error}"
        raise ImportFormatError(msg) from None


def _unscaled(column: Any) -> Any:
    """The integer behind each decimal; its low word holds it, as far as it fits 64 bits."""
    pa = require("pyarrow")
    words = np.frombuffer(column.buffers()[1], dtype="<i8")
    low = words[2 * column.offset : 2 * (column.offset + len(column)) : 2].copy()
    mask = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    return pa.array(low, pa.int64(), mask=mask)


def _zoned(local: Any, zone: Zone) -> Any:
    pa, pc = require("pyarrow"), require("pyarrow.compute")
    if zone.fixed_offset_ns is not None:
        return pc.subtract_checked(local, zone.fixed_offset_ns)
    mask = local.is_null().to_numpy(zero_copy_only=False) if local.null_count else None
    return pa.array(zone.to_utc(local.fill_null(0).to_numpy()), pa.int64(), mask=mask)
