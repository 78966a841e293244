"""Times of text files that name no zone, turned into UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tickrail._native import ColumnBatch
from tickrail.data.importers.zones import Zone

__all__ = ["LocalTimes"]

#: What the reader puts where there is no time, or none that int64 holds; the checks of records name it.
_NO_TIMES: Final = np.iinfo(np.int64).min + 1


class LocalTimes:
    """What has to be added to the times of one source.

    Fixed offsets the reader adds while it reads (``shifts``). The rules of a place need the time, so ``in_utc`` applies
    them to what was read.

    Args:
        local: Columns whose times are those of ``zone``.
        other: Columns whose times are UTC.
        zone: ``None``: UTC.
        local_ns: Added to local times before the zone is looked at.
        shift_ns: Added to all times after it.
    """

    def __init__(
        self, local: Sequence[str], other: Sequence[str], zone: Zone | None, *, local_ns: int = 0, shift_ns: int = 0
    ) -> None:
        offset_ns = 0 if zone is None else zone.fixed_offset_ns
        self._ruled = tuple(local) if offset_ns is None else ()
        self._zone, self._shift_ns = zone, shift_ns
        fixed_ns = local_ns if offset_ns is None else local_ns - offset_ns + shift_ns
        self.shifts = dict.fromkeys(other, shift_ns) | dict.fromkeys(local, fixed_ns)

    def in_utc(self, batch: ColumnBatch) -> ColumnBatch:
        """The batch with its local times in UTC."""
        for column in self._ruled:
            batch = batch.with_times(column, self._by_rules(batch.column(column)))
        return batch

    def _by_rules(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        held = times > _NO_TIMES
        if self._zone is not None:
            times[held] = self._zone.to_utc(times[held]) + self._shift_ns
        return times
