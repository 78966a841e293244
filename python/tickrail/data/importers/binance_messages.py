"""Messages of Binance's combined streams as the bytes of records.

Apart from the importer that reads them, which has to be loadable without msgspec.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from tickrail.domain.ticks import Kind, SideCode

__all__ = ["RECORD", "MessagePacker", "Unreadable"]

#: ``TICK_DTYPE`` as the standard library packs it: one call a message, where eleven columns would take eleven appends.
RECORD: Final = struct.Struct("<qqQIBBHdddd")
#: What a text that is no message raises.
Unreadable: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_NS_PER_MS: Final = 1_000_000
_LAST_NS: Final = (1 << 63) - 1
_LAST_MS: Final = _LAST_NS // _NS_PER_MS
#: The check of records knows this time as one that 64 bits of nanoseconds cannot hold.
_TIME_OVERFLOW: Final = -(1 << 63)
_Number = Annotated[int, msgspec.Meta(ge=0, le=_LAST_NS)]
# Plain integers: members of an enumeration take longer to look up and to pack than all the rest of a record.
_QUOTE, _TRADE = int(Kind.QUOTE), int(Kind.TRADE)
_NO_SIDE, _BUY, _SELL = int(SideCode.NONE), int(SideCode.BUY), int(SideCode.SELL)
_NO_DATA: Final = msgspec.Raw(b"{}")


class _Envelope(msgspec.Struct, gc=False, frozen=True):
    """What stands around every message; ``data`` stays text, for most of it is depth that nobody wants decoded."""

    stream: str = ""
    data: msgspec.Raw = _NO_DATA
    last_update_id: int | None = msgspec.field(default=None, name="lastUpdateId")


class _Message(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """What quotes and trades share: the book changed at ``T``, the message left at ``E``; spot quotes have neither."""

    symbol: str = msgspec.field(name="s")
    transaction_ms: int | None = msgspec.field(default=None, name="T")
    event_ms: int | None = msgspec.field(default=None, name="E")


class _BookTicker(_Message, gc=False, frozen=True, kw_only=True):
    update_id: _Number = msgspec.field(name="u")
    bid: float = msgspec.field(name="b")
    bid_size: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_size: float = msgspec.field(name="A")


class _Trade(_Message, gc=False, frozen=True, kw_only=True):
    trade_id: _Number = msgspec.field(name="t")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
# Not strict: numbers come as text, which is parsed to the nearest float without a copy.
_decode_book_ticker: Final = msgspec.json.Decoder(_BookTicker, strict=False).decode
_decode_trade: Final = msgspec.json.Decoder(_Trade, strict=False).decode


class MessagePacker:
    """One message after the other as a record; counts in ``notes`` what is none."""

    def __init__(self, notes: Counter[str]) -> None:
        self._notes = notes
        self._places: dict[str, int] = {}

    @property
    def symbols(self) -> Iterable[str]:
        """What the records' ``instrument`` counts through."""
        return self._places

    def pack(self, receipt_ns: int, message: bytes) -> bytes | None:
        """The record that ``message`` is; ``None`` where it is none.

        Raises:
            Unreadable: The message is no JSON, or not as its stream has it.
        """
        envelope = _decode_envelope(message)
        channel = envelope.stream.partition("@")[2]
        if channel == "bookTicker":
            return self._quote(receipt_ns, _decode_book_ticker(envelope.data))
        if channel == "trade":
            return self._trade(receipt_ns, _decode_trade(envelope.data))
        if channel:
            self._notes[f"{channel.partition('@')[0]} messages"] += 1
        else:
            self._notes["messages of no stream" if envelope.last_update_id is None else "snapshots"] += 1
        return None

    def _quote(self, receipt_ns: int, quote: _BookTicker) -> bytes:
        return RECORD.pack(
            *_times(receipt_ns, quote),
            quote.update_id,
            self._places.setdefault(quote.symbol, len(self._places)),
            _QUOTE,
            _NO_SIDE,
            0,
            quote.bid,
            quote.ask,
            quote.bid_size,
            quote.ask_size,
        )

    def _trade(self, receipt_ns: int, trade: _Trade) -> bytes:
        return RECORD.pack(
            *_times(receipt_ns, trade),
            trade.trade_id,
            self._places.setdefault(trade.symbol, len(self._places)),
            _TRADE,
            # Where the buyer was the maker, the seller was the aggressor.
            _SELL if trade.buyer_is_maker else _BUY,
            0,
            trade.price,
            0.0,
            trade.quantity,
            0.0,
        )


def _times(receipt_ns: int, message: _Message) -> tuple[int, int]:
    """``ts_event`` and ``ts_init``; without a time of the venue both are the receipt."""
    ms = message.event_ms if message.transaction_ms is None else message.transaction_ms
    received = receipt_ns if receipt_ns <= _LAST_NS else _TIME_OVERFLOW
    if ms is None:
        return received, received
    return (ms * _NS_PER_MS if -_LAST_MS <= ms <= _LAST_MS else _TIME_OVERFLOW), received
