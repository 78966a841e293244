"""FX quotes in zips: the date, the symbol and the zone come from the path."""

import zipfile
from pathlib import Path

import pytest

from tickrail._native import TickArray
from tickrail.data.importing import import_ticks
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import ImportFormatError

pytest.importorskip("pyarrow")

MIDNIGHT_NS = 1_398_902_400_000_000_000  # 2014-05-01
ROWS = "292,1.38676,1.38686\r\n920.1868,1.3868,1.3869\r\n920.1868,1.3867,1.3868"


def day(folder: Path, name: str = "20140501_quote.zip", rows: str = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.replace(".zip", ".csv"), rows)
    return folder / name


@pytest.mark.parametrize(
    ("place", "zone", "instrument", "offset_h"),
    [
        ("oanda/eurusd", None, "EURUSD.OANDA", 0),
        ("fxcm/eurusd", None, "EURUSD.FXCM", 5),
        ("fxcm/tick/xauusd", None, "XAUUSD.FXCM", 5),
        ("other/eurusd", "America/New_York", "EURUSD.OTHER", 4),
        ("other/eurusd", "+02:00", "EURUSD.OTHER", -2),
    ],
)
def test_a_day(tmp_path: Path, place: str, zone: str | None, instrument: str, offset_h: int) -> None:
    source = day(tmp_path / place)
    report = import_ticks(source, tmp_path / "out.ticks", time_zone=zone)
    assert (report.format, report.count, report.instruments) == ("fx", 3, [instrument])
    ticks = TickArray.open(tmp_path / "out.ticks")
    midnight = MIDNIGHT_NS + offset_h * 3_600_000_000_000
    found = ticks.numpy().view(QUOTE_DTYPE)
    assert (found["ts_event"] - midnight).tolist() == [292_000_000, 920_186_800, 920_186_800]
    assert found["bid"].tolist() == [1.38676, 1.3868, 1.3867]
    assert ticks.instrument_table[0]["currency"] == "USD"
    assert ticks[0].bid_size != ticks[0].bid_size  # not given: NaN


def test_days_in_the_order_of_their_dates(tmp_path: Path) -> None:
    folder = tmp_path / "oanda" / "eurusd"
    later, earlier = day(folder, "20140502_quote.zip"), day(folder, "20140430_quote.zip")
    assert import_ticks([later, earlier], tmp_path / "a.ticks").count == 6
    (folder / "readme.md").write_text("about")
    report = import_ticks(folder, tmp_path / "b.ticks")
    assert (report.count, report.notes) == (6, {"files passed over": 1})
    assert (tmp_path / "a.ticks").read_bytes() == (tmp_path / "b.ticks").read_bytes()


def test_every_nanosecond_that_a_file_can_say(tmp_path: Path) -> None:
    rows = "\n".join(f"86399999.{digits:06d},1,2" for digits in range(0, 1_000_000, 9_973))
    import_ticks(day(tmp_path / "oanda" / "eurusd", rows=rows), tmp_path / "a.ticks")
    times = TickArray.open(tmp_path / "a.ticks").numpy()["ts_event"] - MIDNIGHT_NS
    assert times.tolist() == [86_399_999_000_000 + digits for digits in range(0, 1_000_000, 9_973)]


def test_names_that_are_given_win(tmp_path: Path) -> None:
    source = day(tmp_path / "oanda" / "eurusd")
    assert import_ticks(source, tmp_path / "a.ticks", instrument="EUR.X").instruments == ["EUR.X"]
    assert import_ticks(source, tmp_path / "b.ticks", venue="V").instruments == ["EURUSD.V"]


def test_the_zone_of_a_market_has_to_be_known(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="time zone of the market 'elsewhere'") as caught:
        import_ticks(day(tmp_path / "elsewhere" / "eurusd"), tmp_path / "a.ticks")
    assert "--tz" in (caught.value.hint or "")
    assert not (tmp_path / "a.ticks").exists()
