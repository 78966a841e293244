"""``python -m benches.websocket``: what the websocket feed carries, from the socket to a strategy in one process.

The other side is a process of its own that sends frames which are made beforehand. Throughput: as fast as it goes, from
the first to the last record at the handler. Hand-over: 20,000 messages a second, evenly, from the moment at which a
message is read to its handler. What else runs shows.

At full speed the other side never rests, so it has the last processor to itself and the process that is measured has
the others (``--place apart``); with ``free`` the system places both. Between evenly sent messages it sleeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

import tickrail
from tickrail.adapters.live.binance_stream import BinanceStreamFeed

INSTRUMENT = "BTCUSDT.BINANCE"
#: Of the design: messages a second of the hand-over case.
PACE = 20_000
SEND_BYTES = 256 * 1024


def message(number: int) -> bytes:
    """A quote of the spot market: without a time of the venue's, so a record bears when it was read."""
    bid = 61_837.63 + number % 50 * 0.01
    data = {"u": 50_093_239_212 + number, "s": "BTCUSDT", "b": f"{bid:.8f}", "B": "3.78826000"}
    data |= {"a": f"{bid + 0.01:.8f}", "A": "1.54698000"}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data}, separators=(",", ":")).encode()


def frame(text: bytes) -> bytes:
    """As a server sends it; longer than 125 bytes, shorter than 65,536."""
    return b"\x81\x7e" + len(text).to_bytes(2) + text


class Source(WSListener):  # type: ignore[misc, unused-ignore]
    """Sends ``frames`` to whoever subscribes: at once, or at ``pace`` a second."""

    def __init__(self, frames: list[bytes], pace: int) -> None:
        super().__init__()
        self.frames = frames
        self.pace = pace
        self.writable = asyncio.Event()
        self.writable.set()

    def on_ws_frame(self, transport: WSTransport, given: WSFrame) -> None:
        """The subscription; or the farewell."""
        if given.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, b'{"result":null,"id":1}')
            self.task = asyncio.get_running_loop().create_task(self.send(transport))
        elif given.msg_type is WSMsgType.CLOSE:
            transport.disconnect()

    def pause_writing(self) -> None:
        """The socket is full."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It has room."""
        self.writable.set()

    async def send(self, transport: WSTransport) -> None:
        """All of it, then the farewell."""
        await asyncio.sleep(0.2)
        raw = transport.underlying_transport
        if self.pace == 0:
            whole = b"".join(self.frames)
            for at in range(0, len(whole), SEND_BYTES):
                await self.writable.wait()
                raw.write(whole[at : at + SEND_BYTES])
        else:
            begun = time.perf_counter()
            for number, one in enumerate(self.frames):
                early_s = number / self.pace - (time.perf_counter() - begun)
                if early_s > 0:  # asleep, as others' machines are: who looks at a clock all the time takes a processor
                    time.sleep(early_s)
                raw.write(one)
                if number % 64 == 0:
                    await asyncio.sleep(0)
        await self.writable.wait()
        transport.send_close()


async def serve(count: int, pace: int) -> None:
    """Listen, say where, and stay until standard input ends."""
    frames = [frame(message(number)) for number in range(count)]
    server = await ws_create_server(lambda _: Source(frames, pace), "127.0.0.1", 0)
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class Stamps(tickrail.Strategy):
    """Notes when each quote came, and when it had been read."""

    def on_start(self) -> None:
        self.read: list[int] = []
        self.came: list[int] = []

    def on_quote(self, tick: tickrail.Quote) -> None:
        self.read.append(tick.ts_event)
        self.came.append(time.time_ns())


class Counted(tickrail.Strategy):
    """Counts quotes, and notes when the first and the last of them came."""

    expected: int = 1

    def on_start(self) -> None:
        self.count, self.first, self.last = 0, 0, 0

    def on_quote(self, tick: tickrail.Quote) -> None:
        self.count += 1
        if self.count == 1:
            self.first = time.perf_counter_ns()
        elif self.count == self.expected:
            self.last = time.perf_counter_ns()


def placed(how: str) -> str:
    """Give this process its processors; the one of the source, empty where the system may choose."""
    every = sorted(os.sched_getaffinity(0))
    if how == "free" or len(every) == 1:
        print(f"both sides share {len(every)} processors")
        return ""
    os.sched_setaffinity(0, every[:-1])
    print(f"the source has processor {every[-1]}, the process that is measured {every[:-1]}")
    return str(every[-1])


def taken(strategy: tickrail.Strategy, count: int, pace: int, processor: str) -> None:
    """Let ``strategy`` have what a source of its own sends."""
    arguments = [sys.executable, "-m", "benches.websocket", "--serve", str(count), "--pace", str(pace)]
    arguments += ["--processor", processor] if processor else []
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as source:
        assert source.stdout is not None
        url = source.stdout.readline().strip()
        feed = BinanceStreamFeed(name="f", instruments=[INSTRUMENT], url=url, reconnect=False)
        run = tickrail.open_live(strategy, [INSTRUMENT])
        feed.start(run.feed("f", capacity=16_384, **feed.settings))
        run.seal()
        result = run.run()
        feed.close()
        assert source.stdin is not None
        source.stdin.close()
    assert result.ticks == count, (result.ticks, feed.counts)


def throughput(count: int, processor: str = "") -> float:
    """Messages a second."""
    strategy = Counted(expected=count)
    taken(strategy, count, 0, processor)
    return (count - 1) / (strategy.last - strategy.first) * 1e9


def hand_over(count: int, processor: str = "") -> np.ndarray:
    """ns from read to handler; the first tenth is left out."""
    strategy = Stamps()
    taken(strategy, count, PACE, processor)
    return (np.array(strategy.came) - np.array(strategy.read))[count // 10 :]


def main() -> int:
    """Measure both, a few times each, and print every one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=600_000, help="messages of a throughput case")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a hand-over case takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", choices=("apart", "free"), default="apart", help="who runs on which processors")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processor", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        if given.processor is not None:
            os.sched_setaffinity(0, [given.processor])
        asyncio.run(serve(given.serve, given.pace))
        return 0
    processor = placed(given.place)
    for _ in range(given.rounds):
        print(f"{throughput(given.count, processor):>12,.0f} messages/s from socket to handler", flush=True)
    for _ in range(given.rounds):
        found = hand_over(int(given.seconds * PACE), processor)
        p50, p99, p999 = np.percentile(found, [50, 99, 99.9]) / 1_000
        print(f"hand-over at {PACE:,}/s: p50 {p50:.1f} us, p99 {p99:.1f} us, p99.9 {p999:.1f} us", flush=True)
    assert threading.active_count() == 1, "every thread has ended"
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
