"""The FX quotes of two brokers, to the last row."""

from pathlib import Path

import pytest

from tickrail._native import TickArray
from tickrail.data.importing import import_ticks

pytest.importorskip("pyarrow")
FX = Path(__file__).parents[2].parent / "shared" / "data" / "fx"


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
