"""Messages of Binance's combined streams as records, with what is missing between them.

Trades are numbered one after the other, so a jump is a gap. The update ids of quotes only grow: what is missing between
two of them nobody can tell, and nobody misses it, as the later quote says all. What comes again, or late, goes: the
order of a stream is that of its ids.
"""

from __future__ import annotations

import logging
import math
import struct
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tickrail._native import MessageReader
from tickrail.domain.ticks import Kind, SideCode

__all__ = ["STREAMS", "StreamDecoder", "SubscriptionRefused"]

#: What the decoder makes records of.
STREAMS: Final = ("trade", "bookTicker")

#: ``TICK_DTYPE``, by one call a record; eleven columns would take eleven appends.
_PACK: Final = struct.Struct("<qqQIBBHdddd").pack
# Plain integers: to look a member of an enumeration up takes longer than to pack the record.
_QUOTE, _TRADE, _GAP = int(Kind.QUOTE), int(Kind.TRADE), int(Kind.GAP)
_BUY, _SELL = int(SideCode.BUY), int(SideCode.SELL)
_NS_PER_MS: Final = 1_000_000
#: How far ahead of the clock a feed takes a record, as the native core has it.
_MAX_AHEAD_NS: Final = 86_400_000_000_000
#: A record whose receipt the feed stamps has to bear some time until then.
_UNSTAMPED: Final = 1
#: How far back an id may lie and be one that comes late; farther, and the venue counts anew.
_LATE: Final = 1_000_000
_SHOWN: Final = 120

_NOTHING: Final = msgspec.Raw(b"")

logger = logging.getLogger("tickrail.adapters.binance")


class SubscriptionRefused(Exception):
    """The venue's answer to a subscription is an error."""


class _Data(msgspec.Struct, gc=False):
    """A quote's or a trade's fields: which, the stream says. Numbers come as text and are read as such.

    In the order in which a quote has them, then a trade: the decoder looks from the last one on, and takes 500 ns a
    quote where another order took 700 to 950.
    """

    u: int | None = None
    b: float | None = None
    B: float | None = None
    a: float | None = None
    A: float | None = None
    t: int | None = None
    p: float | None = None
    q: float | None = None
    T: int | None = None
    m: bool = False
    E: int | None = None


class _Message(msgspec.Struct, gc=False):
    stream: str = ""
    data: _Data | None = None
    receipt: int = _UNSTAMPED


class _Answer(msgspec.Struct, gc=False):
    """What comes instead of a stream's message: the answer to a subscription."""

    stream: str = ""
    id: int | None = None
    error: msgspec.Raw = _NOTHING
    code: int | None = None
    msg: str = ""


_decode: Final = msgspec.json.Decoder(_Message, strict=False).decode
#: What a text that is no message raises; one that goes a thousand levels deep raises the last.
_NO_MESSAGE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_UNREADABLE: Final = (*_NO_MESSAGE, struct.error, TypeError, OverflowError)
_decode_answer: Final = msgspec.json.Decoder(_Answer, strict=False).decode


@dataclass(frozen=True, slots=True)
class _Stream:
    name: str
    place: int
    is_trade: bool


class StreamDecoder:
    """Packs messages, in their order.

    A plain quote or trade that goes on from the last one is read natively, in an eighth of the time; all others here.

    Args:
        name: Of the feed, for logs.
        streams: Stream names, such as ``btcusdt@trade``, with the number of their instrument in the run.

    Attributes:
        records: Those that were made and not taken, for ``Publisher.offer``, which takes them.
        counts: What became of messages: ``gaps``, ``duplicates``, ``late``, ``malformed``, ``renumbered``, ``other``,
            ``answers``.
    """

    def __init__(self, name: str, streams: Mapping[str, int]) -> None:
        self.counts: Counter[str] = Counter()
        self._name = name
        self._streams = {one: _Stream(one, place, one.endswith("@trade")) for one, place in streams.items()}
        self.records = MessageReader([(one.name, one.place, one.is_trade) for one in self._streams.values()])

    def take(self, messages: list[bytes]) -> None:
        """Pack what they hold, or count why not; nothing is raised but ``SubscriptionRefused``."""
        read_ns = time.time_ns()
        taken = self.records.take(messages, 0, read_ns)
        while taken < len(messages):
            self._take_carefully(messages[taken], read_ns)
            taken = self.records.take(messages, taken + 1, read_ns)

    def _take_carefully(self, message: bytes, read_ns: int) -> None:
        """Of whatever form it is."""
        try:
            said = _decode(message)
            stream, data = self._streams.get(said.stream), said.data
            if stream is None:
                self._answer(message)
            elif data is None:
                self._malformed(message, "there is no data")
            elif stream.is_trade:
                self._trade(said, data, stream, read_ns)
            else:
                self._quote(said, data, stream, read_ns)
        except _UNREADABLE as error:
            self._answer(message, str(error))

    def _trade(self, said: _Message, trade: _Data, stream: _Stream, read_ns: int) -> None:
        number, time_ms = trade.t, trade.T
        if number is None or time_ms is None:
            raise TypeError("a trade has t and T")
        # Refused by the feed it would be missing, and its number taken: nobody would hear of a gap.
        for field, value in (("p", trade.p), ("q", trade.q), ("T", time_ms)):
            if value is None or not 0 < value < math.inf:
                raise TypeError(f"a trade's {field} is {value}; expected above zero")
        time_ns = time_ms * _NS_PER_MS
        if time_ns - read_ns > _MAX_AHEAD_NS:
            raise TypeError(f"a trade's T is {time_ms}; expected at most a day ahead of the clock")
        last = self._goes_on_from(stream, number)
        if last is None:
            return
        record = _PACK(
            time_ns,
            said.receipt,
            number,
            stream.place,
            _TRADE,
            # Where the buyer was the maker, the seller was the aggressor.
            _SELL if trade.m else _BUY,
            0,
            trade.p,
            0.0,
            trade.q,
            0.0,
        )
        if last and number > last + 1:
            record = self._gap(said, time_ns, stream, last + 1, number - 1) + record
        self.records.enter(stream.name, number, record)

    def _quote(self, said: _Message, quote: _Data, stream: _Stream, read_ns: int) -> None:
        number = quote.u
        if number is None:
            raise TypeError("a bookTicker has u")
        if self._goes_on_from(stream, number) is None:
            return
        time_ms = quote.E if quote.T is None else quote.T
        if time_ms is not None:
            time_ns = time_ms * _NS_PER_MS
        else:  # spot: the receipt is all there is
            time_ns = said.receipt if said.receipt != _UNSTAMPED else read_ns
        values = (quote.b, quote.a, quote.B, quote.A)
        record = _PACK(time_ns, said.receipt, number, stream.place, _QUOTE, 0, 0, *values)
        self.records.enter(stream.name, number, record)

    def _goes_on_from(self, stream: _Stream, number: int) -> int | None:
        """The last number that ``number`` goes on from, 0 where it is the first; else it is counted, and ``None``."""
        last = self.records.last(stream.name)
        if number > last or last == 0:
            return last
        if number == last:
            self.counts["duplicates"] += 1
        elif last - number < _LATE:
            self.counts["late"] += 1
        else:
            self.counts["renumbered"] += 1
            logger.warning("feed '%s': ids go from %d back to %d; they count anew", self._name, last, number)
            return 0
        return None

    def _gap(self, said: _Message, time_ns: int, stream: _Stream, first: int, last: int) -> bytes:
        missing = (float(first), float(last), float(last - first + 1), 0.0)
        record = _PACK(time_ns, said.receipt, last, stream.place, _GAP, 0, 0, *missing)
        self.counts["gaps"] += 1
        return record

    def _answer(self, message: bytes, fault: str = "") -> None:
        """A message of no stream that was asked for."""
        try:
            answer = _decode_answer(message)
        except _NO_MESSAGE as error:
            return self._malformed(message, fault or str(error))
        if answer.code is not None:
            raise SubscriptionRefused(f"code {answer.code}: {answer.msg}")
        if bytes(answer.error):
            raise SubscriptionRefused(bytes(answer.error).decode("utf-8", "replace"))
        if answer.stream in self._streams:
            return self._malformed(message, fault)
        self.counts["answers" if answer.id is not None else "other"] += 1
        return None

    def _malformed(self, message: bytes, fault: str) -> None:
        """Counted, and named in the log at the first, second, fourth, ... one: a flood makes no flood of lines."""
        self.counts["malformed"] += 1
        count = self.counts["malformed"]
        if count & (count - 1) == 0:
            shown = message[:_SHOWN].decode("utf-8", "replace")
            logger.warning("feed '%s': message %d that cannot be read (%s): %s", self._name, count, fault, shown)
