"""Recorded websocket streams of Binance: ``receipt time in ns, a space, the combined-stream JSON``, a message a line.

Records are in order of their receipt: the venue's times of two streams interleave, and spot quotes have none. The clock
of the venue may be ahead of the recorder's, so ``ts_event`` may lie after ``ts_init``; both are kept as they are. A
receipt that runs backwards is a bad record like any other: one thread reads the clock and writes the line, so real
recordings have none (0 in 135,203 lines), and sorting them would hide a clock that was set back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from tickrail.data.importers.chunk import ImportOptions, RecordChunk
from tickrail.data.importers.extra import require
from tickrail.data.importers.names import instrument_id
from tickrail.data.importers.text_files import open_text
from tickrail.domain.ticks import TICK_DTYPE
from tickrail.errors import ImportFormatError

__all__ = ["BinanceRecordingImporter"]

_FILE: Final = re.compile(r"[^.]+_\d{8}(\.gz|\.jsonl|\.jsonl\.gz)", re.IGNORECASE)
_VENUE: Final = "BINANCE"
#: Records handed over at once; 4 MB.
CHUNK_BYTES: Final = 65_536 * TICK_DTYPE.itemsize
#: A snapshot of 5,000 levels a side has 400 kB; what is longer is no line of a recording.
LONGEST_LINE: Final = 16 << 20
#: Digits of a time in ns, from 2001 to 2286: another number is another unit, or no time.
_RECEIPT_DIGITS: Final = 19
_SHOWN: Final = 60


class BinanceRecordingImporter:
    """``bookTicker`` becomes quotes, ``trade`` trades; ``ts_init`` is the receipt, ``ts_event`` the venue's time."""

    name: str = "binance-recording"
    order_by: str = "ts_init"

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()

    def recognises(self, path: Path) -> bool:
        """By the name: ``usdm_btcusdt_20240808.gz``, ``btcusdt_20240808.jsonl``."""
        return _FILE.fullmatch(path.name) is not None

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[RecordChunk]:
        """The quotes and trades of one file."""
        require("msgspec")
        from tickrail.data.importers.binance_messages import MessagePacker, Unreadable

        packer = MessagePacker(self._notes)
        pack = partial(_packed, pack=packer.pack, unreadable=Unreadable, origin=str(path))
        with open_text(path) as (file, bytes_done):
            for packed, first_row in _stretches(file, pack):
                yield RecordChunk(
                    records=np.frombuffer(packed, TICK_DTYPE),
                    instruments=[instrument_id(symbol, _VENUE, options) for symbol in packer.symbols],
                    origin=str(path),
                    first_row=first_row,
                    bytes_done=bytes_done(),
                )

    def notes(self) -> dict[str, int]:
        """Messages of other streams and snapshots."""
        notes, self._notes = self._notes, Counter()
        return dict(notes)


def _stretches(file: IO[bytes], pack: Callable[[bytes, int], bytes | None]) -> Iterator[tuple[bytes, int]]:
    """Records of lines that follow on each other, and the line of the first: so a bad one is named by its line."""
    packed, first = bytearray(), 1
    for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
        record = pack(line, number)
        if record is None or len(packed) >= CHUNK_BYTES:
            if packed:
                yield bytes(packed), first
            packed, first = bytearray(), number + (record is None)
        if record is not None:
            packed += record
    if packed:
        yield bytes(packed), first


def _packed(
    line: bytes,
    number: int,
    *,
    pack: Callable[[int, bytes], bytes | None],
    unreadable: tuple[type[Exception], ...],
    origin: str,
) -> bytes | None:
    receipt, _, message = line.partition(b" ")
    if len(receipt) != _RECEIPT_DIGITS or not receipt.isdigit():
        raise _bad_line(f"{origin}:{number}", "expected the receipt time in ns (19 digits), a space, and JSON", line)
    try:
        return pack(int(receipt), message)
    except unreadable as error:
        raise _bad_line(f"{origin}:{number}", f"expected a message of a combined stream: {error}", message) from None


def _bad_line(place: str, expected: str, there: bytes) -> ImportFormatError:
    shown = there[:_SHOWN].decode("utf-8", "replace").strip()
    return ImportFormatError(
        f"{place}: {expected}; there is '{shown}'",
        hint='a line is such as 1723161255088169167 {"stream":"btcusdt@bookTicker","data":{...}}',
    )
