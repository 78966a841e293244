"""The FX quotes of two brokers and two recordings of Binance, to the last row."""

from pathlib import Path
from typing import Any

import pytest

from tickrail._native import TickArray
from tickrail.data.importing import import_ticks
from tickrail.domain.ticks import Kind, SideCode

pytest.importorskip("pyarrow")
DATA = Path(__file__).parents[2].parent / "shared" / "data"
FX, BINANCE = DATA / "fx", DATA / "binance"


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not FX.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("place", "count", "instrument", "first_ns"),
    [
        ("oanda/eurusd", 532_903, "EURUSD.OANDA", 1_398_902_400_292_000_000),
        ("fxcm/eurusd", 1_144_807, "EURUSD.FXCM", 1_398_920_401_787_000_000),
        ("oanda/xauusd", 567_565, "XAUUSD.OANDA", 1_399_248_000_040_186_800),
    ],
)
def test_every_quote_arrives(tmp_path: Path, place: str, count: int, instrument: str, first_ns: int) -> None:
    report = import_ticks(FX / place, tmp_path / "fx.ticks")
    assert (report.count, report.rows, report.problems) == (count, count, {})
    assert (report.instruments, report.first_ns) == ([instrument], first_ns)
    ticks = TickArray.open(tmp_path / "fx.ticks")
    ticks.verify()
    assert len(ticks) == count
    assert ticks.instrument_table[0]["currency"] == "USD"


def facts(tick: Any) -> tuple[Any, ...]:
    return (tick.kind, tick.ts_event, tick.ts_init, tick.sequence, tick.side, *tick.values)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not BINANCE.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("name", "quotes", "trades", "sells", "depth", "first", "last"),
    [
        (
            "usdm_btcusdt_20240808.gz",
            66_089,
            21_313,
            11_697,
            6_551,
            (
                *("QUOTE", 1_723_161_256_313_000_000, 1_723_161_255_088_169_167, 5_123_107_839_020, "NONE"),
                *(61800.2, 61800.3, 2.507, 2.51),
            ),
            (
                *("QUOTE", 1_723_161_600_709_000_000, 1_723_161_599_439_160_683, 5_123_135_221_461, "NONE"),
                *(61659.7, 61659.8, 1.486, 0.981),
            ),
        ),
        (
            "spot_btcusdt_20240808.gz",
            28_040,
            9_757,
            5_654,
            3_451,
            (
                *("QUOTE", 1_723_161_254_087_891_268, 1_723_161_254_087_891_268, 50_093_239_212, "NONE"),
                *(61837.63, 61837.64, 3.78826, 1.54698),
            ),
            (
                *("QUOTE", 1_723_161_599_999_231_384, 1_723_161_599_999_231_384, 50_093_421_612, "NONE"),
                *(61685.99, 61686.0, 1.25869, 2.44807),
            ),
        ),
    ],
)
def test_every_message_of_a_recording_arrives(
    tmp_path: Path,
    name: str,
    quotes: int,
    trades: int,
    sells: int,
    depth: int,
    first: tuple[Any, ...],
    last: tuple[Any, ...],
) -> None:
    pytest.importorskip("msgspec")
    report = import_ticks(BINANCE / name, tmp_path / "b.ticks")
    assert (report.format, report.count, report.rows) == ("binance-recording", quotes + trades, quotes + trades)
    assert (report.problems, report.crossed) == ({}, 0)
    assert report.notes == {"depth messages": depth, "snapshots": 1}
    assert report.instruments == ["BTCUSDT.BINANCE"]
    ticks = TickArray.open(tmp_path / "b.ticks")
    ticks.verify()
    assert (facts(ticks[0]), facts(ticks[len(ticks) - 1])) == (first, last)
    assert (ticks.order_by, report.first_ns, report.last_ns) == ("ts_init", first[2], last[2])
    records = ticks.numpy()
    counts = [int((records["kind"] == kind).sum()) for kind in (Kind.QUOTE, Kind.TRADE)]
    assert counts == [quotes, trades]
    assert int((records["side"] == SideCode.SELL).sum()) == sells
