"""What is read natively of a market's messages, and what by the general way: the same records, in any company."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tickrail.adapters.live.binance_decoding import StreamDecoder
from tickrail.domain.ticks import TICK_DTYPE

T_MS = 1_723_161_256_313
QUOTE = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":"1","B":"1","a":"2","A":"1"},"receipt":5}'
TRADE = b'{"stream":"btcusdt@trade","data":{"t":3,"p":"1","q":"1","T":1723161256313,"m":false}}'
STREAMS = {"btcusdt@trade": 3, "btcusdt@bookTicker": 3, "ethusdt@trade": 1}

# Not `st.decimals`, which takes most of the time of a test.
decimals = st.integers(-(10**15), 10**15).map(lambda units: f"{units / 1e8:.8f}") | st.sampled_from(
    ["0", "-0", "0.0", "00.1", "1.", ".5", "1e3", "nan", "inf", "", "9007199254740993", "0.1234567890123456789", "1_0"]
)
integers = st.integers(0, 40) | st.sampled_from([-1, 2**53, 2**63 - 1, 2**63, 2**64, 1.5, True, None, "7"])
times = st.just(T_MS) | integers
values: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys("bBaApq", decimals | st.integers(-5, 5) | st.none()),
    **dict.fromkeys("ut", integers),
    **dict.fromkeys("TE", times),
    "m": st.booleans() | st.sampled_from([None, 1]),
    "s": st.sampled_from(["BTCUSDT", "ä", 'a"b', {}, [], 1.5, None]),
}
plain: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys("bBaApq", st.integers(1, 10**6).map(lambda units: f"{units / 100:.8f}")),
    **dict.fromkeys("ut", st.integers(1, 20)),
    **dict.fromkeys("TE", st.just(T_MS)),
    "m": st.booleans(),
    "s": st.just("BTCUSDT"),
}


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A good message, mostly; with a field of another type, without one, or with a byte that is none of its own."""
    stream = draw(st.sampled_from([*STREAMS, "other@trade"]))
    keys = "tpqTmEs" if stream.endswith("@trade") else "usbBaATE"
    data = {key: draw(plain[key]) for key in keys}
    for key in draw(st.sets(st.sampled_from(keys), max_size=2)):
        data[key] = draw(values[key])
    for key in draw(st.sets(st.sampled_from(keys), max_size=1)):
        del data[key]
    said: dict[str, Any] = {"stream": stream, "data": data}
    if draw(st.booleans()):
        said["receipt"] = draw(st.just(T_MS * 1_000_000) | integers)
    text = json.dumps(said, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from([b"", b" ", b'"', b"}", b"0", b"\\", b"\xff", b","])) + text[at + 1 :]
    return text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(messages(), max_size=8))
@example([QUOTE, QUOTE, TRADE, TRADE, TRADE.replace(b":3,", b":9,"), TRADE.replace(b":3,", b":5,")])
@example([b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":"-0","B":"-0.0","a":"0","A":"1"},"receipt":5}'])
@example([b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":1,"B":"1","a":"-2.50","A":"0"},"receipt":5}'])
def test_both_ways_make_the_same_records(given_messages: list[bytes]) -> None:
    natively, carefully = StreamDecoder("f", STREAMS), StreamDecoder("f", STREAMS)
    natively.take(given_messages)
    read_ns = time.time_ns()
    for message in given_messages:
        carefully._take_carefully(message, read_ns)
    found, expected = (np.frombuffer(one.records.take_packed(), TICK_DTYPE) for one in (natively, carefully))
    assert len(found) == len(expected)
    for name in TICK_DTYPE.names or ():
        # A quote without a time has that of its read.
        of_read = expected["ts_event"] == read_ns if name == "ts_event" else np.zeros(len(expected), bool)
        assert found[name][~of_read].tobytes() == expected[name][~of_read].tobytes(), name
    assert natively.counts == carefully.counts
