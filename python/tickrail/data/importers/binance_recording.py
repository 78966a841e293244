"""Recorded websocket streams of Binance: ``receipt time in ns, a space, the combined-stream JSON``, a message a line.

Records are in order of their receipt: the venue's times of two streams interleave, and spot quotes have none. The clock
of the venue may be ahead of the recorder's, so ``ts_event`` may lie after ``ts_init``; both are kept as they are. Lines
must not run backwards: every recording that we know is written by one thread, in order.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from tickrail.data.importers.chunk import ImportOptions, RecordChunk
from tickrail.data.importers.extra import require
from tickrail.data.importers.names import instrument_id
from tickrail.data.importers.text_files import open_text
from tickrail.domain.ticks import TICK_DTYPE, Kind, SideCode
from tickrail.errors import ImportFormatError

__all__ = ["RECORD", "BinanceRecordingImporter"]

_FILE: Final = re.compile(r"[^.]+_\d{8}(\.gz|\.jsonl|\.jsonl\.gz)", re.IGNORECASE)
_VENUE: Final = "BINANCE"
#: ``TICK_DTYPE`` as the standard library packs it: one call a line, where eleven columns would take eleven appends.
RECORD: Final = struct.Struct("<qqQIBBHdddd")
#: Records handed over at once; 4 MB.
CHUNK_BYTES: Final = 65_536 * RECORD.size
#: A snapshot of 5,000 levels a side has 400 kB; what is longer is no line of a recording.
LONGEST_LINE: Final = 16 << 20
#: Digits of a time in ns, from 2001 to 2286: another number is another unit, or no time.
_RECEIPT_DIGITS: Final = 19
_NS_PER_MS: Final = 1_000_000
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
        """The quotes and trades of one file; each stretch of lines that has no others between is a chunk of its own."""
        require("msgspec")
        packer = _Packer(options, self._notes)
        with open_text(path) as (file, bytes_done):
            packed, first_row, line = bytearray(), 1, 0
            while text := file.readline(LONGEST_LINE):
                line += 1
                record = packer.pack(text, path, line)
                if record is not None:
                    packed += record
                    if len(packed) < CHUNK_BYTES:
                        continue
                if packed:
                    yield _chunk(packed, packer, path, first_row, bytes_done())
                packed, first_row = bytearray(), line + 1
            if packed:
                yield _chunk(packed, packer, path, first_row, bytes_done())

    def notes(self) -> dict[str, int]:
        """Messages of other streams and snapshots."""
        notes = dict(self._notes)
        self._notes.clear()
        return notes


def _chunk(packed: bytearray, packer: _Packer, path: Path, first_row: int, bytes_done: int) -> RecordChunk:
    records = np.frombuffer(bytes(packed), TICK_DTYPE)
    return RecordChunk(records, list(packer.instruments), str(path), first_row=first_row, bytes_done=bytes_done)


class _Packer:
    """One line after the other as the bytes of a record."""

    def __init__(self, options: ImportOptions, notes: Counter[str]) -> None:
        from msgspec import MsgspecError

        from tickrail.data.importers import binance_messages

        self._messages = binance_messages
        self._unreadable = MsgspecError
        self._options = options
        self._notes = notes
        self._places: dict[str, int] = {}

    @property
    def instruments(self) -> list[str]:
        """What the records' ``instrument`` counts through."""
        return [instrument_id(symbol, _VENUE, self._options) for symbol in self._places]

    def pack(self, line: bytes, path: Path, number: int) -> bytes | None:
        """The record that ``line`` is; ``None`` where it is none, which is noted."""
        receipt, _, message = line.partition(b" ")
        if len(receipt) != _RECEIPT_DIGITS or not receipt.isdigit():
            raise _bad_line(path, number, "expected the receipt time in ns (19 digits), a space, and JSON", line)
        try:
            return self._pack(int(receipt), message)
        except (self._unreadable, UnicodeDecodeError, struct.error) as error:
            raise _bad_line(path, number, f"expected a message of a combined stream: {error}", message) from None

    def _pack(self, receipt_ns: int, message: bytes) -> bytes | None:
        envelope = self._messages.decode_envelope(message)
        channel = envelope.stream.partition("@")[2]
        if channel == "bookTicker":
            return self._quote(receipt_ns, self._messages.decode_book_ticker(envelope.data))
        if channel == "trade":
            return self._trade(receipt_ns, self._messages.decode_trade(envelope.data))
        if channel:
            self._notes[f"{channel.partition('@')[0]} messages"] += 1
        else:
            self._notes["snapshots" if envelope.last_update_id is not None else "messages of no stream"] += 1
        return None

    def _quote(self, receipt_ns: int, quote: BookTicker) -> bytes:
        ms = quote.transaction_ms or quote.event_ms
        return RECORD.pack(
            receipt_ns if ms is None else ms * _NS_PER_MS,
            receipt_ns,
            quote.update_id,
            self._place(quote.symbol),
            Kind.QUOTE,
            SideCode.NONE,
            0,
            quote.bid,
            quote.ask,
            quote.bid_size,
            quote.ask_size,
        )

    def _trade(self, receipt_ns: int, trade: Trade) -> bytes:
        ms = trade.transaction_ms or trade.event_ms
        return RECORD.pack(
            receipt_ns if ms is None else ms * _NS_PER_MS,
            receipt_ns,
            trade.trade_id,
            self._place(trade.symbol),
            Kind.TRADE,
            SideCode.SELL if trade.buyer_is_maker else SideCode.BUY,
            0,
            trade.price,
            0.0,
            trade.quantity,
            0.0,
        )

    def _place(self, symbol: str) -> int:
        return self._places.setdefault(symbol, len(self._places))


def _bad_line(path: Path, number: int, expected: str, there: bytes) -> ImportFormatError:
    shown = there[:_SHOWN].decode("utf-8", "replace").strip()
    return ImportFormatError(
        f"{path}:{number}: {expected}; there is '{shown}'",
        hint="a line is such as 1723161255088169167 {\"stream\":\"btcusdt@bookTicker\",\"data\":{...}}",
    )
