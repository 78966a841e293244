"""A websocket that stays: it connects again when it is lost, and brings records in batches of what one read had.

All of it runs on one event loop. Where the feed has no slots the socket is not read, so that the source waits and
nothing piles up here: at most what one read had is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tickrail.adapters.live.binance_decoding import StreamDecoder, SubscriptionRefused
from tickrail.domain.backoff import Backoff
from tickrail.errors import FeedClosed, PublishError
from tickrail.ports.market_data import StreamPublisher

__all__ = ["LinkTerms", "StreamLink"]

#: A connection that has held so long was good: the next loss waits the shortest time again.
STEADY_S: Final = 10.0
#: Room for one read: a thousand messages of a busy stream, so that a burst is few batches.
READ_BYTES: Final = 256 * 1024
#: Longest message; a venue's snapshot of a book has some 100 kB.
MESSAGE_BYTES: Final = 4 * 1024 * 1024
#: How long a connection that is being closed is waited for.
FAREWELL_S: Final = 1.0

# Plain names: to look a member of an enumeration up takes longer than to copy the message.
_TEXT: Final = WSMsgType.TEXT
_PARTS: Final = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)

logger = logging.getLogger("tickrail.adapters.binance")


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """How a link connects.

    Attributes:
        name: Of the feed.
        url: Where to.
        hello: What is sent first, each a text message.
        heartbeat_s: After this long without a message the other side is asked for a sign of life.
        heartbeat_timeout_s: How long it has for that.
        connect_timeout_s: How long a connection may take.
        backoff: The waits between two attempts.
        reconnects: Whether the end of a connection is followed by another.
    """

    name: str
    url: str
    hello: Sequence[bytes]
    heartbeat_s: float
    heartbeat_timeout_s: float
    connect_timeout_s: float
    backoff: Backoff
    reconnects: bool


class StreamLink:
    """Serves one publisher until it is told to end, its feed is closed, or the source has ended.

    Args:
        terms: How it connects.
        decoder: What makes records of messages.
        publisher: Where they go.
        connected: Called once: with ``None`` when the first connection stands, or with what kept it from that.

    Attributes:
        heard: Messages of the present read.
        waiting: Records of the last batch, while it finds no slots.
    """

    def __init__(
        self,
        terms: LinkTerms,
        decoder: StreamDecoder,
        publisher: StreamPublisher,
        connected: Callable[[Exception | None], object],
    ) -> None:
        self._terms = terms
        self._decoder = decoder
        self._publisher = publisher
        self._connected: Callable[[Exception | None], object] | None = connected
        self._ending = asyncio.Event()
        self._transport: WSTransport | None = None
        self._drain: asyncio.Task[None] | None = None
        self._refusal: SubscriptionRefused | None = None
        self.heard: list[bytes] = []
        self.waiting = 0

    def end(self) -> None:
        """Close the connection and come to an end; on the loop."""
        self._ending.set()

    async def serve(self) -> None:
        """Connect, again and again, until the end."""
        try:
            while not self._ending.is_set():
                await self._session()
                if self._ending.is_set() or not self._terms.reconnects:
                    return
                await self._pause()
        finally:
            self._tell(ConnectionError("it was closed"))
            if self._drain is not None:
                self._drain.cancel()
            self._publisher.close()

    async def _session(self) -> None:
        try:
            transport, _ = await self._connect()
        except (OSError, WSError, TimeoutError) as error:
            return self._lost(f"cannot connect: {_said(error)}", error)
        self._transport = transport
        begun = asyncio.get_running_loop().time()
        if self._connected is None:
            self._decoder.counts["reconnects"] += 1
            with suppress(PublishError):
                self._publisher.reconnected(renumbered=False)
        for message in self._terms.hello:
            transport.send(WSMsgType.TEXT, message)
        await self._until_lost(transport)
        if asyncio.get_running_loop().time() - begun >= STEADY_S:
            self._terms.backoff.rest()
        self._lost(f"the connection ended: {self._refusal or _close_of(transport)}", self._refusal)
        return None

    async def _connect(self) -> tuple[WSTransport, WSListener]:
        terms = self._terms
        connecting = asyncio.ensure_future(
            ws_connect(
                lambda: _Ears(self),
                terms.url,
                websocket_handshake_timeout=terms.connect_timeout_s,
                enable_auto_ping=True,
                auto_ping_idle_timeout=terms.heartbeat_s,
                auto_ping_reply_timeout=terms.heartbeat_timeout_s,
                max_frame_size=MESSAGE_BYTES,
                read_buffer_init_size=READ_BYTES,
            )
        )
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait(
                [connecting, ending], timeout=terms.connect_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not connecting.done():
                raise TimeoutError(f"no connection within {terms.connect_timeout_s:g} s")
            return connecting.result()
        finally:
            ending.cancel()
            connecting.cancel()

    async def _until_lost(self, transport: WSTransport) -> None:
        """Until the connection is gone, by either side, and what it brought is published."""
        lost = asyncio.ensure_future(transport.wait_disconnected())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait([lost, ending], return_when=asyncio.FIRST_COMPLETED)
            if not lost.done():
                transport.send_close()
                transport.disconnect()
                await asyncio.wait([lost], timeout=FAREWELL_S)
        finally:
            lost.cancel()
            ending.cancel()
        self.flush()
        if self._drain is not None:
            draining, ended = self._drain, asyncio.ensure_future(self._ending.wait())
            await asyncio.wait([draining, ended], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), self._terms.backoff.next_s())

    def _lost(self, said: str, error: Exception | None) -> None:
        """The first connection has somebody who waits for it; of later ones the log tells."""
        self._transport = self._refusal = None
        if self._connected is not None:
            self._tell(error or ConnectionError(said))
            self._ending.set()
        elif not self._ending.is_set():
            logger.warning("feed '%s': %s", self._terms.name, said)

    def _tell(self, error: Exception | None) -> None:
        connected, self._connected = self._connected, None
        if connected is not None:
            connected(error)

    # ---- what the connection brings ------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take what one read has brought; the first message is the sign that the connection is good for something."""
        try:
            self._decoder.take(self.heard)
        except SubscriptionRefused as refused:
            self._refusal = refused
            if self._transport is not None:
                self._transport.disconnect(graceful=False)
            return
        finally:
            self.heard.clear()
        if self._connected is not None:
            self._tell(None)

    def flush(self) -> None:
        """Publish what has come; where there are no slots, stop reading until there are."""
        if self.heard:
            self._take()
        if self._drain is not None or not self._decoder.records:
            return
        try:
            if not self._offer():
                self._read(False)
                self._drain = asyncio.get_running_loop().create_task(self._until_in())
        except FeedClosed:
            self._ending.set()
        except PublishError as error:
            self._refused(error)

    def _offer(self) -> bool:
        self.waiting = len(self._decoder.records)
        return self._publisher.offer(self._decoder.records)

    async def _until_in(self) -> None:
        try:
            is_in = False
            while not is_in:
                try:
                    await self._publisher.drained()
                    is_in = not self._decoder.records or self._offer()
                except FeedClosed:
                    return self._ending.set()
                except PublishError as error:
                    self._refused(error)
        finally:
            self._drain = None
            self.waiting = 0
        return self._read(True)

    def _refused(self, error: PublishError) -> None:
        """Records are lost to the feed's policy: strategies are told, as of any loss."""
        self._decoder.counts["refused"] += 1
        logger.warning("feed '%s': %s", self._terms.name, error.message)
        with suppress(PublishError):
            self._publisher.reconnected(renumbered=False)

    def _read(self, goes_on: bool) -> None:
        transport: Any = None if self._transport is None else self._transport.underlying_transport
        if transport is not None and not transport.is_closing():
            (transport.resume_reading if goes_on else transport.pause_reading)()


class _Ears(WSListener):  # type: ignore[misc, unused-ignore]
    """What the library calls, on the loop."""

    def __init__(self, link: StreamLink) -> None:
        super().__init__()
        self._link = link
        self._heard = link.heard
        self._parts = bytearray()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Known before the first message is."""
        self._link._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A message, or a part of one; batches end with what was read at once."""
        kind = frame.msg_type
        if kind is _TEXT and frame.fin:
            self._heard.append(frame.get_payload_as_bytes())
        elif kind in _PARTS:
            self._part(transport, frame)
        elif kind is WSMsgType.CLOSE:
            transport.disconnect()
        if frame.last_in_buffer:
            self._link.flush()

    def _part(self, transport: WSTransport, frame: WSFrame) -> None:
        if len(self._parts) + frame.payload_size > MESSAGE_BYTES:
            transport.disconnect(graceful=False)
            return
        self._parts += frame.get_payload_as_bytes()
        if frame.fin:
            message, self._parts = bytes(self._parts), bytearray()
            self._heard.append(message)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _close_of(transport: WSTransport) -> str:
    handshake = transport.close_handshake
    received = None if handshake is None else handshake.recv
    if received is None:
        return "no close frame came"
    return f"code {getattr(received.code, 'value', received.code)} {received.reason}".rstrip()
