"""Messages of Binance's combined streams, as far as records need them; loaded by the importer that reads them."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["BookTicker", "Envelope", "Trade", "decode_book_ticker", "decode_envelope", "decode_trade"]

#: The last millisecond whose nanoseconds fit into 64 bits.
_LAST_MS = 9_223_372_036_854
_Time = Annotated[int, msgspec.Meta(ge=1, le=_LAST_MS)]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 63)]
_NO_DATA = msgspec.Raw(b"{}")


class Envelope(msgspec.Struct, gc=False, frozen=True):
    """What stands around every message; ``data`` stays text, for most of it is depth that nobody wants decoded."""

    stream: str = ""
    data: msgspec.Raw = _NO_DATA
    last_update_id: int | None = msgspec.field(default=None, name="lastUpdateId")


class BookTicker(msgspec.Struct, gc=False, frozen=True):
    """Best bid and ask; spot sends no time."""

    update_id: _Number = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: float = msgspec.field(name="b")
    bid_size: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_size: float = msgspec.field(name="A")
    transaction_ms: _Time | None = msgspec.field(default=None, name="T")
    event_ms: _Time | None = msgspec.field(default=None, name="E")


class Trade(msgspec.Struct, gc=False, frozen=True):
    """One trade; where the buyer was the maker, the seller was the aggressor."""

    trade_id: _Number = msgspec.field(name="t")
    symbol: str = msgspec.field(name="s")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")
    transaction_ms: _Time | None = msgspec.field(default=None, name="T")
    event_ms: _Time | None = msgspec.field(default=None, name="E")


decode_envelope = msgspec.json.Decoder(Envelope).decode
# Not strict: numbers come as text, which is parsed to the nearest float without a copy.
decode_book_ticker = msgspec.json.Decoder(BookTicker, strict=False).decode
decode_trade = msgspec.json.Decoder(Trade, strict=False).decode
