"""A loopback websocket server that speaks as Binance's combined streams do, and misbehaves where it is told to.

    with StreamServer(recorded_messages("usdm_btcusdt_20240808.gz"), speed="max") as server:
        feed = BinanceStreamFeed(name="f", url=server.url, instruments=["BTCUSDT.BINANCE"], reconnect=False)

As a process of its own: ``python -m tickrail.testing.stream_server FILE --speed 10``; it prints its address.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from tickrail._native import TickArray

__all__ = ["Fault", "Message", "StreamServer", "messages_of", "recorded_messages"]

Message: TypeAlias = tuple[int, bytes]
"""When it was received, int ns UTC, and the text."""

Fault: TypeAlias = tuple[Any, ...]
"""What happens before a message, a name and its figures.

``("drop", lost)`` and ``("close", lost, code)`` end the connection; ``lost`` messages are gone when the next client
comes. ``("lose", lost)`` loses them within the connection, ``("stall", seconds)`` sends nothing for a while,
``("wait",)`` until ``go_on()``. ``("repeat",)`` sends the message twice, ``("swap",)`` after the one that follows,
``("garbage", bytes)`` something else before it.
"""

#: Messages between two looks at what else is to be done.
TURN: Final = 64
START_S: Final = 10.0
_NS_PER_MS: Final = 1_000_000


def recorded_messages(path: str | Path) -> Iterator[Message]:
    """The messages of a recording: a line is the receipt in ns, a space, and the text."""
    with gzip.open(path) if str(path).endswith(".gz") else Path(path).open("rb") as lines:
        for line in lines:
            receipt, _, text = line.partition(b" ")
            yield int(receipt), text.rstrip()


def messages_of(ticks: TickArray) -> Iterator[Message]:
    """Quotes and trades as the venue of USD-M futures would send them; times are in ms there."""
    for number, tick in enumerate(ticks, 1):
        symbol = str(tick.instrument).rpartition(".")[0]
        times = {"s": symbol, "T": tick.ts_event // _NS_PER_MS, "E": tick.ts_event // _NS_PER_MS}
        if tick.kind == "QUOTE":
            bid, ask, bid_size, ask_size = (repr(value) for value in tick.values)
            data = {"e": "bookTicker", "u": number, **times, "b": bid, "B": bid_size, "a": ask, "A": ask_size}
        elif tick.kind == "TRADE":
            maker = tick.side == "SELL"
            data = {"e": "trade", "t": number, **times, "p": repr(tick.price), "q": repr(tick.size), "m": maker}
        else:
            continue
        stream = f"{symbol.lower()}@{data['e']}"
        yield tick.ts_init, json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


class StreamServer:
    """Serves ``messages`` to whoever has subscribed, one client after the other; a context manager.

    Messages begin with the first subscription and go on from there; after a loss of the connection they wait for the
    next client. Only what was subscribed to is sent.

    Args:
        messages: What is served, in order.
        speed: A multiple of the pace of their receipts, or ``"max"``.
        faults: What happens before which message, by its place among those that are sent, from 0.
        receipts: Send the time of receipt along, for feeds with ``receipts``.
        at_end: ``close`` the connection (code 1000) after the last message, or ``stay``.
        refuses: How many connections are closed before the first that is served.
        refusal: Answer to subscriptions in the place of a good one.
        pongs: Whether questions for a sign of life are answered.
        port: Where to listen; 0 is a free one.

    Attributes:
        counts: ``connections``, ``sent``, ``lost``, and faults by their names.

    Thread safety: any thread.
    """

    def __init__(
        self,
        messages: Iterable[Message] = (),
        *,
        speed: float | Literal["max"] = "max",
        faults: Mapping[int, Fault] | None = None,
        receipts: bool = False,
        at_end: Literal["close", "stay"] = "close",
        refuses: int = 0,
        refusal: Mapping[str, Any] | None = None,
        pongs: bool = True,
        port: int = 0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.url = ""
        self.refuses = refuses
        self._messages = iter(messages)
        self._ahead: deque[Message] = deque()
        self._pushed: deque[Message] = deque()
        self._speed = speed
        self._faults = dict(faults or {})
        self._receipts = receipts
        self._at_end = at_end
        self._refusal = refusal
        self._pongs = pongs
        self._port = port
        self._place = 0
        self._first_ns = 0
        self._begun_s = 0.0
        self._client: _Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._going = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="tickrail-stream-server", daemon=True)

    # ---- for the test ------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; ``url`` is known then."""
        self._thread.start()
        if not self._listening.wait(START_S):
            raise TimeoutError("the server did not come up")
        return self

    def close(self) -> None:
        """End it, and every connection. Idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(START_S)

    def push(self, messages: Iterable[Message]) -> None:
        """Serve these too, after the others."""
        given = list(messages)
        self._call(lambda: self._pushed.extend(given))

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._tell(lambda client: client.transport.disconnect(graceful=False))

    def close_with(self, code: int, reason: str = "") -> None:
        """Close the connection with a code."""
        self._tell(lambda client: client.close(code, reason))

    def go_on(self) -> None:
        """End a ``wait``."""
        self._call(self._going.set)

    def send(self, text: bytes) -> None:
        """Send something, now."""
        self._tell(lambda client: client.transport.send(WSMsgType.TEXT, text))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tell(self, act: Callable[[_Client], None]) -> None:
        def told() -> None:
            if self._client is not None:
                act(self._client)

        self._call(told)

    def _call(self, act: Callable[[], object]) -> None:
        loop = self._loop
        if loop is None:
            raise RuntimeError("the server does not run")
        loop.call_soon_threadsafe(act)

    # ---- on its thread -----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            server = loop.run_until_complete(
                ws_create_server(lambda _request: _Client(self), "127.0.0.1", self._port, enable_auto_pong=self._pongs)
            )
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"
            self._loop = loop
            self._listening.set()
            loop.run_forever()
            server.close()
            if self._client is not None:
                self._client.transport.disconnect(graceful=False)
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def subscribed(self, client: _Client, answer: int) -> None:
        """A client wants messages: it has all from now on."""
        said = {"result": None, "id": answer} if self._refusal is None else {**self._refusal, "id": answer}
        client.transport.send(WSMsgType.TEXT, json.dumps(said).encode())
        if self._client is not client and self._refusal is None:
            self._client = client
            client.pump(self._pump(client))

    def gone(self, client: _Client) -> None:
        """A client is no more."""
        if self._client is client:
            self._client = None

    async def _pump(self, client: _Client) -> None:
        while not client.is_gone:
            message = self._next()
            if message is None:
                if self._at_end == "close":
                    client.close(WSCloseCode.OK.value, "that was all")
                    return
                await asyncio.sleep(0.002)
                continue
            await self._in_time(message[0])
            await self._before(client, message)
            if self._place % TURN == 0:
                await asyncio.sleep(0)
            await client.writable.wait()

    def _next(self) -> Message | None:
        if self._ahead:
            return self._ahead.popleft()
        message = next(self._messages, None)
        if message is None and self._pushed:
            message = self._pushed.popleft()
        return message

    async def _in_time(self, receipt_ns: int) -> None:
        if self._speed == "max":
            return
        now_s = asyncio.get_running_loop().time()
        if self._first_ns == 0:
            self._first_ns, self._begun_s = receipt_ns, now_s
        wait_s = (receipt_ns - self._first_ns) / 1e9 / float(self._speed) - (now_s - self._begun_s)
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _before(self, client: _Client, message: Message) -> None:
        """Send it, after what is to happen before it."""
        if not client.wants(message[1]):
            return
        fault, *figures = self._faults.pop(self._place, ("",))
        if fault:
            self.counts[fault] += 1
            if not await getattr(self, f"_{fault}")(client, message, *figures):
                return
        self._send(client, message)

    async def _drop(self, client: _Client, message: Message, lost: int) -> bool:
        client.transport.disconnect(graceful=False)
        return await self._until_gone(client, message, lost)

    async def _close(self, client: _Client, message: Message, lost: int, code: int) -> bool:
        client.close(code, "as told")
        return await self._until_gone(client, message, lost)

    async def _until_gone(self, client: _Client, message: Message, lost: int) -> bool:
        await client.transport.wait_disconnected()
        client.is_gone = True
        if lost == 0:
            self._ahead.appendleft(message)
            return False
        return await self._lose(client, message, lost)

    async def _lose(self, client: _Client, message: Message, lost: int) -> bool:  # noqa: ARG002  (the first of them)
        self._place += 1
        self.counts["lost"] += lost
        for _ in range(lost - 1):
            self._wanted(client)
        return False

    async def _stall(self, client: _Client, message: Message, seconds: float) -> bool:  # noqa: ARG002
        await asyncio.sleep(seconds)
        return True

    async def _wait(self, client: _Client, message: Message) -> bool:  # noqa: ARG002
        self._going.clear()
        await self._going.wait()
        return True

    async def _repeat(self, client: _Client, message: Message) -> bool:
        self._send(client, message)
        self._place -= 1
        return True

    async def _garbage(self, client: _Client, message: Message, text: bytes) -> bool:  # noqa: ARG002
        client.transport.send(WSMsgType.TEXT, text)
        return True

    async def _swap(self, client: _Client, message: Message) -> bool:  # noqa: ARG002
        if later := self._wanted(client):
            self._place -= 1
            self._send(client, later)
        return True

    def _wanted(self, client: _Client) -> Message | None:
        """The next message that is to be sent."""
        while (message := self._next()) is not None and not client.wants(message[1]):
            pass
        self._place += message is not None
        return message

    def _send(self, client: _Client, message: Message) -> None:
        text = message[1]
        if self._receipts:
            text = text[:-1] + b',"receipt":%d}' % message[0]
        client.transport.send(WSMsgType.TEXT, text)
        self.counts["sent"] += 1
        self._place += 1


class _Client(WSListener):  # type: ignore[misc, unused-ignore]
    def __init__(self, server: StreamServer) -> None:
        super().__init__()
        self.server = server
        self.streams: set[bytes] = set()
        self.is_gone = False
        self.writable = asyncio.Event()
        self.writable.set()
        self._task: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.server.counts["connections"] += 1
        if self.server.refuses:
            self.server.refuses -= 1
            transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            asked = json.loads(frame.get_payload_as_bytes())
            self.streams |= {one.encode() for one in asked.get("params", ())}
            self.server.subscribed(self, asked["id"])
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        self.is_gone = True
        self.writable.set()
        self.server.gone(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def wants(self, text: bytes) -> bool:
        """Whether a message is of a stream that was subscribed to; what has none is no stream's."""
        return text[11 : text.find(b'"', 11)] in self.streams

    def pump(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def close(self, code: int, reason: str) -> None:
        if not self.is_gone:
            self.transport.send_close(WSCloseCode(code), reason.encode())
            self.transport.disconnect()


def main(arguments: list[str] | None = None) -> int:
    """Serve a recording until the end of standard input, or for good."""
    parser = argparse.ArgumentParser(prog="python -m tickrail.testing.stream_server", description=main.__doc__)
    parser.add_argument("file", type=Path, help="a recording: receipt in ns, a space, and the message, a line each")
    parser.add_argument("--speed", default="1", help="a multiple of real time, or 'max' (default: 1)")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
    parser.add_argument("--receipts", action="store_true", help="send the recorded times of receipt along")
    parser.add_argument("--stay", action="store_true", help="keep the connection open after the last message")
    given = parser.parse_args(arguments)
    server = StreamServer(
        recorded_messages(given.file),
        speed="max" if given.speed == "max" else float(given.speed),
        receipts=given.receipts,
        at_end="stay" if given.stay else "close",
        port=given.port,
    )
    with server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
