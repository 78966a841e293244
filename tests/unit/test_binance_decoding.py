"""What the feed of Binance's streams makes of messages: records, gaps, and counts of what is neither."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tickrail.adapters.live.binance_decoding import StreamDecoder, SubscriptionRefused
from tickrail.domain.ticks import QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE, Kind

T_MS = 1_723_161_256_313


def decoder() -> StreamDecoder:
    return StreamDecoder("f", {"btcusdt@trade": 3, "btcusdt@bookTicker": 3, "ethusdt@trade": 1})


def trade(number: int, symbol: str = "btcusdt", **fields: Any) -> bytes:
    data = {"e": "trade", "E": T_MS + 1, "T": T_MS, "s": symbol, "t": number, "p": "61800.30", "q": "0.006", "m": False}
    return json.dumps({"stream": f"{symbol}@trade", "data": {**data, **fields}}).encode()


def quote(number: int, **fields: Any) -> bytes:
    data = {"u": number, "s": "BTCUSDT", "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510", **fields}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data}).encode()


def records(one: StreamDecoder, *messages: bytes) -> npt.NDArray[np.void]:
    for message in messages:
        one.take([message])
    return np.frombuffer(one.records.take_packed(), TICK_DTYPE)


def test_a_trade_and_a_quote_are_what_their_streams_say() -> None:
    found = records(decoder(), trade(7, m=True), quote(9, T=T_MS, E=T_MS + 5), trade(8, "ethusdt"))
    first, _, third = found.view(TRADE_DTYPE)
    second = found.view(QUOTE_DTYPE)[1]
    assert (first["ts_event"], first["sequence"], first["instrument"]) == (T_MS * 1_000_000, 7, 3)
    assert (first["kind"], first["side"], first["price"], first["size"]) == (Kind.TRADE, 2, 61800.30, 0.006)
    assert (second["ts_event"], second["sequence"]) == (T_MS * 1_000_000, 9)
    assert [second[name] for name in ("bid", "ask", "bid_size", "ask_size")] == [61800.20, 61800.30, 2.507, 2.510]
    assert (third["instrument"], third["side"]) == (1, 1)


def test_a_quote_without_a_time_has_that_of_its_receipt() -> None:
    receipt = 1_723_161_256_313_000_123
    said = quote(9)[:-1] + b', "receipt": %d}' % receipt
    (found,) = records(decoder(), said)
    assert (found["ts_event"], found["ts_init"]) == (receipt, receipt)
    (found,) = records(decoder(), quote(9))
    assert found["ts_event"] > receipt


def test_a_jump_in_the_numbers_of_trades_is_a_gap_before_the_next_one() -> None:
    one = decoder()
    found = records(one, trade(7), trade(8), trade(12), trade(13))
    assert found["kind"].tolist() == [Kind.TRADE, Kind.TRADE, Kind.GAP, Kind.TRADE, Kind.TRADE]
    gap = found[2]
    assert (gap["sequence"], gap["instrument"]) == (11, 3)
    assert [gap[f"value_{number}"] for number in range(3)] == [9.0, 11.0, 3.0]
    assert one.counts["gaps"] == 1


def test_a_trade_that_cannot_be_is_missing_and_told_as_a_gap() -> None:
    one = decoder()
    found = records(one, trade(7), trade(8, p="-1"), trade(9))
    assert found["kind"].tolist() == [Kind.TRADE, Kind.GAP, Kind.TRADE]
    assert [found[1][f"value_{number}"] for number in range(3)] == [8.0, 8.0, 1.0]
    assert one.counts == {"malformed": 1, "gaps": 1}


def test_numbers_are_those_of_one_stream() -> None:
    assert records(decoder(), trade(7), trade(100, "ethusdt"), trade(8))["kind"].tolist() == [Kind.TRADE] * 3


def test_update_ids_of_quotes_may_jump() -> None:
    one = decoder()
    assert len(records(one, quote(7), quote(900))) == 2
    assert not one.counts


def test_what_comes_again_or_late_goes_and_is_counted() -> None:
    one = decoder()
    found = records(one, trade(7), trade(7), trade(9), trade(8), quote(5), quote(5), quote(4), quote(6))
    assert found["sequence"].tolist() == [7, 8, 9, 5, 6], "the gap that names 8 among them"
    assert one.counts == {"duplicates": 2, "late": 2, "gaps": 1}


def test_a_venue_that_counts_anew_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    one = decoder()
    found = records(one, trade(5_000_000), trade(1), trade(2))
    assert found["sequence"].tolist() == [5_000_000, 1, 2]
    assert one.counts == {"renumbered": 1}
    assert "ids go from 5000000 back to 1" in caplog.text


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (b"{nonsense", "JSON is malformed"),
        (b"", "Input data was truncated"),
        (b"\xff\xfe", "malformed"),
        (trade(8)[:-9], "truncated"),
        (trade(8, p="many"), "Expected `float"),
        (trade(8, p=None), "a trade's p is None"),
        (trade(8, p="-1"), "a trade's p is -1.0; expected above zero"),
        (trade(8, p="0.00000000"), "a trade's p is 0.0"),
        (trade(8, p="nan"), "a trade's p is nan"),
        (trade(8, q="inf"), "a trade's q is inf"),
        (trade(8, q="0"), "a trade's q is 0.0"),
        (trade(8, T=0), "a trade's T is 0"),
        (trade(2**65), "argument out of range"),
        (trade(8, T=4_000_000_000_000), "a trade's T is 4000000000000; expected at most a day ahead"),
        (trade(8, T=2**62), "expected at most a day ahead of the clock"),
        (trade(None), "a trade has t and T"),  # type: ignore[arg-type]
        (quote(8)[:24] + b"@x", "truncated"),
        (b'{"stream":"btcusdt@trade"}', "there is no data"),
        (b'{"stream":"btcusdt@bookTicker","data":{}}', "a bookTicker has u"),
    ],
)
def test_what_cannot_be_read_is_counted_named_and_harms_nothing(
    message: bytes, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = decoder()
    with caplog.at_level(logging.WARNING):
        found = records(one, trade(7), message, trade(8))
    assert found["sequence"].tolist() == [7, 8]
    assert one.counts == {"malformed": 1}
    assert "feed 'f': message 1 that cannot be read" in caplog.text
    assert fault in caplog.text


def test_what_is_read_together_makes_the_records_of_each_by_itself() -> None:
    """Whatever stands between good messages, in whichever company."""
    odd = [trade(8)[:-9], b"", b"{}", b"\n", quote(8, b="x"), b'{"result":null,"id":1}', b"{},{}", trade(9) + b"\n"]
    odd += [json.dumps(json.loads(trade(30)), indent=1).encode(), b'{"stream":"x",\n"data":{}}', trade(5), b"\xff\xfe"]
    for one in [[], *([one] for one in odd), odd, odd[::-1]]:
        messages = [trade(7), quote(9), *one, quote(10), trade(8, "ethusdt"), trade(31)]
        apart, together = decoder(), decoder()
        expected = records(apart, *messages)
        together.take(messages)
        found = np.frombuffer(together.records.take_packed(), TICK_DTYPE)
        for name in set(TICK_DTYPE.names or ()) - {"ts_event"}:  # a quote without a time has that of its read
            assert found[name].tolist() == expected[name].tolist(), (one, name)
        assert together.counts == apart.counts, one


def test_a_flood_of_them_makes_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    one = decoder()
    records(one, *[b"{"] * 1_000)
    assert (one.counts["malformed"], len(caplog.records)) == (1_000, 10)


def test_other_streams_and_answers_are_counted_apart() -> None:
    one = decoder()
    depth = b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","b":[["1.0","2.0"]],"u":5}}'
    assert len(records(one, depth, b'{"result":null,"id":1}', b'{"lastUpdateId":5,"bids":[["1","2"]]}')) == 0
    assert one.counts == {"other": 2, "answers": 1}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"code": 2, "msg": "Invalid request", "id": 1}, "code 2: Invalid request"),
        ({"error": {"code": 3, "msg": "Invalid JSON"}, "id": 1}, '{"code": 3, "msg": "Invalid JSON"}'),
    ],
)
def test_a_refused_subscription_is_told(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(SubscriptionRefused) as caught:
        decoder().take([json.dumps(answer).encode()])
    assert str(caught.value) == said
