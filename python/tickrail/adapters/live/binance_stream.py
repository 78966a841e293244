"""Feed ``binance``: quotes and trades of Binance's public market streams, by a websocket; no account is needed."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tickrail.domain.backoff import Backoff
from tickrail.domain.near import did_you_mean
from tickrail.domain.threads import begin
from tickrail.errors import ConnectivityError, WiringError
from tickrail.ports.market_data import LiveFeed, StreamPublisher

if TYPE_CHECKING:  # loaded with the extra, once the run begins
    import asyncio

    from tickrail.adapters.live.stream_link import StreamLink

__all__ = ["BinanceStreamFeed"]

SPOT: Final = "wss://stream.binance.com:9443/stream"
STREAMS: Final = ("bookTicker", "trade")
#: What the venue takes in one subscription.
MOST_STREAMS: Final = 200
#: How long ``close`` waits for the thread: the farewell of a connection, and some.
JOIN_S: Final = 5.0
_SYMBOL: Final = re.compile(r"[A-Z0-9_]{1,30}")

logger = logging.getLogger("tickrail.adapters.binance")


class BinanceStreamFeed:
    """A live feed over a websocket, on a thread with an event loop of its own.

    A connection that is lost comes back by itself, with waits that double; strategies get a GAP record for each
    instrument then, and one for each jump in the numbers of trades. Where strategies are slower than the market the
    feed's policy decides; under ``block`` the socket is not read.

    Args:
        name: Id of the feed.
        instruments: Ids such as ``BTCUSDT.BINANCE``; the part before the dot is the venue's symbol.
        streams: Which streams of each: ``bookTicker`` (quotes), ``trade``.
        url: Of the combined streams; by default those of the spot market.
        stale_after_ns: After this long without a record strategies get a STALE one an instrument; 0: never.
        heartbeat_s: After this long without a message the venue is asked for a sign of life.
        heartbeat_timeout_s: How long it has for that before the connection counts as lost.
        connect_timeout_s: How long a connection may take; the first one is waited for when the run begins.
        backoff_s: The first wait before another attempt; it doubles each time.
        backoff_max_s: The longest.
        seed: Of the jitter in these waits.
        reconnect: Whether a connection that ends is followed by another; if not, the feed ends with it.
        receipts: Messages tell when they were recorded (``receipt``), and records keep that: for replays.

    Attributes:
        counts: What became of messages, and ``reconnects``.

    Raises:
        WiringError: An instrument, a stream, the address or a time cannot be, all of it said.
    """

    def __init__(
        self,
        *,
        name: str,
        instruments: Sequence[str],
        streams: Sequence[str] = STREAMS,
        url: str = SPOT,
        stale_after_ns: int = 30_000_000_000,
        heartbeat_s: float = 15.0,
        heartbeat_timeout_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        backoff_s: float = 0.5,
        backoff_max_s: float = 30.0,
        seed: int = 0,
        reconnect: bool = True,
        receipts: bool = False,
    ) -> None:
        self.name = name
        self.instruments: Sequence[str] = tuple(str(one) for one in instruments)
        self.url = url
        self.counts: Counter[str] = Counter()
        self.is_finite = not reconnect
        self.settings: Mapping[str, Any] = {"receipt": "given"} if receipts else {"stale_after_ns": stale_after_ns}
        self._streams = tuple(streams)
        self._times = {
            "heartbeat_s": heartbeat_s,
            "heartbeat_timeout_s": heartbeat_timeout_s,
            "connect_timeout_s": connect_timeout_s,
            "backoff_s": backoff_s,
            "backoff_max_s": backoff_max_s,
        }
        self._seed = seed
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: StreamLink | None = None
        self._first = threading.Event()
        self._failure: Exception | None = None
        _refuse(name, list(self._problems()))
        _require_picows(name)

    def _problems(self) -> Sequence[str]:
        found = []
        address = urlsplit(self.url)
        if address.scheme not in ("ws", "wss") or not address.hostname:
            found.append(f"url is '{self.url}'; expected such as '{SPOT}'")
        if not self.instruments:
            found.append("instruments is empty; expected ids such as 'BTCUSDT.BINANCE'")
        for one in self.instruments:
            symbol, _, venue = one.rpartition(".")
            if not venue or not _SYMBOL.fullmatch(symbol):
                found.append(f"instrument '{one}' is no symbol of Binance; expected such as 'BTCUSDT.BINANCE'")
        for stream in self._streams:
            if stream not in STREAMS:
                found.append(
                    f"stream '{stream}' is not known{did_you_mean(stream, STREAMS)}; there are {', '.join(STREAMS)}"
                )
        if not self._streams:
            found.append(f"streams is empty; there are {', '.join(STREAMS)}")
        found += [f"{key} is {value}; expected seconds, above zero" for key, value in self._times.items() if value <= 0]
        return found

    def start(self, feed: LiveFeed) -> None:
        """Connect, on a thread of its own; returns once the venue has answered.

        Raises:
            ConnectivityError: There is no connection, or the subscription is refused.
        """
        publisher = feed.publisher()  # here, so that a run that is sealed meanwhile waits for it
        places = {str(one): place for place, one in enumerate(feed.instruments)}
        self._thread = threading.Thread(
            target=self._serve, args=(publisher, places), name=f"tickrail-feed-{self.name}", daemon=True
        )
        begin(self._thread)
        # The link has its own deadline; this one is for a loop that does not come to it.
        answered = self._first.wait(self._times["connect_timeout_s"] + JOIN_S)
        if answered and self._failure is None:
            return
        said = f"{self._failure or 'no answer'}"
        self.close()
        raise ConnectivityError(
            f"feed '{self.name}': {self.url}: {said}", hint="is the address right, and can this machine reach it?"
        )

    def close(self) -> None:
        """End the connection and the thread; idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        loop, link = self._loop, self._link
        if loop is not None and link is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(link.end)
        thread.join(JOIN_S)
        if thread.is_alive():
            logger.warning("feed '%s': its thread did not end within %g s", self.name, JOIN_S)
        logger.info("feed '%s': %s", self.name, dict(self.counts))

    def _serve(self, publisher: StreamPublisher, places: Mapping[str, int]) -> None:
        import asyncio

        try:
            with asyncio.Runner() as runner:
                runner.run(self._run(publisher, places))
        except Exception as error:
            self._answered(error)
            logger.exception("feed '%s' ended", self.name)
        finally:
            publisher.close()

    async def _run(self, publisher: StreamPublisher, places: Mapping[str, int]) -> None:
        import asyncio

        from tickrail.adapters.live.binance_decoding import StreamDecoder
        from tickrail.adapters.live.stream_link import LinkTerms, StreamLink

        streams = {
            f"{one.rpartition('.')[0].lower()}@{stream}": places[one]
            for one in self.instruments
            for stream in self._streams
        }
        decoder = StreamDecoder(self.name, streams)
        self.counts = decoder.counts
        terms = LinkTerms(
            name=self.name,
            url=self.url,
            hello=_subscriptions(tuple(streams)),
            heartbeat_s=self._times["heartbeat_s"],
            heartbeat_timeout_s=self._times["heartbeat_timeout_s"],
            connect_timeout_s=self._times["connect_timeout_s"],
            backoff=Backoff(self._times["backoff_s"], self._times["backoff_max_s"], f"{self.name}-{self._seed}"),
            reconnects=not self.is_finite,
        )
        self._link = StreamLink(terms, decoder, publisher, self._answered)
        self._loop = asyncio.get_running_loop()
        await self._link.serve()

    def _answered(self, error: Exception | None) -> None:
        if not self._first.is_set():
            self._failure = error
            self._first.set()


def _subscriptions(streams: Sequence[str]) -> list[bytes]:
    parts = [streams[at : at + MOST_STREAMS] for at in range(0, len(streams), MOST_STREAMS)]
    said = [{"method": "SUBSCRIBE", "params": list(part), "id": number} for number, part in enumerate(parts, 1)]
    return [json.dumps(one).encode() for one in said]


def _refuse(name: str, problems: list[str]) -> None:
    if problems:
        raise WiringError(f"adapter 'binance' of feed '{name}': {'; '.join(problems)}", problems=problems)


def _require_picows(name: str) -> None:
    from importlib.util import find_spec

    if find_spec("picows") is None:
        raise WiringError(
            f"adapter 'binance' of feed '{name}' needs picows, which is not installed",
            hint="pip install 'tickrail[live]'",
        )
