"""Local times of a source, as files write them, turned into UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
import numpy.typing as npt

from tickrail.errors import ImportFormatError

__all__ = ["Zone", "zone_of"]

_FIXED: Final = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Zones change their offset at quarters of an hour only (since 1972), so one offset holds for a quarter.
_QUARTER_NS: Final = 900 * 1_000_000_000
_LARGEST_OFFSET: Final = timedelta(hours=24)


class Zone:
    """A place's local time: a fixed offset, or the rules of an IANA name.

    A local time that occurs twice means its first occurrence, and one that was skipped is read with the offset before
    the change; where a file runs through such an hour, its records run backwards there, and the checks say so.
    """

    def __init__(self, name: str, *, offset: timedelta | None = None, rules: ZoneInfo | None = None) -> None:
        self.name = name
        self._offset_ns = None if offset is None else int(offset.total_seconds()) * 1_000_000_000
        self._rules = rules

    @property
    def fixed_offset_ns(self) -> int | None:
        """Local time less UTC where that never changes."""
        return self._offset_ns

    def to_utc(self, local_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Nanoseconds of local time, counted from 1970-01-01 00:00 local, as nanoseconds UTC."""
        if self._offset_ns is not None:
            return local_ns - self._offset_ns
        quarters, places = np.unique(local_ns // _QUARTER_NS, return_inverse=True)
        offsets = np.array([self._offset_at(int(quarter)) for quarter in quarters], dtype=np.int64)
        return local_ns - offsets[places] if len(quarters) else local_ns

    def _offset_at(self, quarter: int) -> int:
        moment = (_EPOCH + timedelta(minutes=15 * quarter)).replace(tzinfo=self._rules)
        offset = moment.utcoffset() or timedelta(0)
        return int(offset.total_seconds()) * 1_000_000_000


def zone_of(name: str) -> Zone:
    """The zone that ``name`` means: ``UTC``, a fixed offset (``-05:00``, ``UTC+2``) or an IANA name.

    >>> zone_of("-05:00").fixed_offset_ns
    -18000000000000

    Raises:
        ImportFormatError: No such zone; says the near miss.
    """
    if name.upper() in {"UTC", "GMT", "Z"}:
        return Zone(name, offset=timedelta(0))
    if found := _FIXED.fullmatch(name.upper()):
        sign = -1 if found[1] == "-" else 1
        offset = sign * timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if abs(offset) < _LARGEST_OFFSET:
            return Zone(name, offset=offset)
    try:
        return Zone(name, rules=ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, sorted(available_timezones()), n=1)
    msg = f"there is no time zone '{name}'; expected UTC, an offset such as -05:00, or a name such as America/New_York"
    raise ImportFormatError(msg, hint=f"did you mean '{near[0]}'?" if near else None)
