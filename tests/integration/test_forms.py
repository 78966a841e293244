"""The same strategy in every form gives the same orders, fills and digest; on generated and on real data."""

from __future__ import annotations

from pathlib import Path

import pytest
from forms import FORMS, run

from tickrail import Result, TickArray, data

FX = Path(__file__).resolve().parents[3] / "shared" / "data" / "fx"
FEEDS = {"oanda/eurusd": 532_903, "fxcm/eurusd": 1_144_807, "oanda/xauusd": 567_565}
SECOND_NS = 1_000_000_000


def generated(ticks: int) -> dict[str, TickArray]:
    return {
        "a": data.generate_ticks(ticks, 7, instruments=["EURUSD.SIM"]),
        "b": data.generate_ticks(ticks // 2, 8, instruments=["GBPUSD.SIM"]),
    }


def same(one: Result, other: Result) -> None:
    assert one.digest == other.digest
    # By their bytes: an order without a limit has NaN there.
    assert one.orders.tobytes() == other.orders.tobytes()
    assert one.fills.tobytes() == other.fills.tobytes()
    assert [row.positions for row in one.strategies] == [row.positions for row in other.strategies]
    assert one.ok and other.ok


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("settings", [{}, {"slice_ticks": 7}, {"always_fresh": True}])
def test_every_form_decides_alike(form: str, settings: dict[str, int]) -> None:
    feeds = generated(30_000)
    first = run("on_tick", feeds, interval_ns=SECOND_NS)
    found = run(form, feeds, interval_ns=SECOND_NS, **settings)
    assert len(first.fills) > 100
    assert first.stats["timers_fired"] > 0
    same(found, first)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TickArray]:
    folder = tmp_path_factory.mktemp("forms")
    feeds = {}
    for feed, count in FEEDS.items():
        path = folder / f"{feed.replace('/', '-')}.ticks"
        assert data.import_ticks(FX / feed, path).count == count
        feeds[feed] = data.read_ticks(path)
    return feeds


@pytest.fixture(scope="module")
def by_tick(real: dict[str, TickArray]) -> Result:
    return run("on_tick", real)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not FX.is_dir(), reason="the real quotes are not here")
@pytest.mark.parametrize("form", FORMS[1:])
def test_on_real_quotes_too(form: str, real: dict[str, TickArray], by_tick: Result) -> None:
    assert by_tick.ticks == sum(FEEDS.values())
    assert len(by_tick.fills) > 10_000
    same(run(form, real), by_tick)
