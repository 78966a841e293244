"""``Receipt``: the answer to a command, to be had once; and what it may say."""

from __future__ import annotations

from typing import Final

from tickrail._native import Receipt

__all__ = ["CANCELLED", "DONE", "FAILED", "PENDING", "Receipt"]

PENDING: Final = 0
CANCELLED: Final = 1
FAILED: Final = 2
DONE: Final = 3
