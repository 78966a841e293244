"""The codes of kinds, sides and flags in a record: of the standard library alone, so that asking costs no numpy."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = ["Flag", "Kind", "SideCode"]


class Kind(IntEnum):
    """What a record is; stored in files, never renumbered."""

    QUOTE = 1
    TRADE = 2
    BAR = 3
    GAP = 4
    STALE = 5
    CUSTOM = 6


class SideCode(IntEnum):
    """The aggressor of a trade as its code in a record."""

    NONE = 0
    BUY = 1
    SELL = 2


class Flag(IntFlag):
    """Bits of ``flags``."""

    NO_SIZE = 1
    SNAPSHOT = 2
    LAST_IN_GROUP = 4
