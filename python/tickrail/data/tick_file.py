"""Tick files from Python: open, write.

The native classes do the work; this names them where people look for them. The layout of the file is in
``docs/reference/tick-file.md``.
"""

from __future__ import annotations

from tickrail._native import TickArray, TickFileWriter

__all__ = ["TickArray", "TickFileWriter"]
