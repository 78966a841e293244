"""Three real feeds of two brokers, imported, merged and traded: the same decisions in every process, at any slicing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail

FX = Path(__file__).resolve().parents[3] / "shared" / "data" / "fx"
FEEDS = {"oanda/eurusd": 532_903, "fxcm/eurusd": 1_144_807, "oanda/xauusd": 567_565}
TICKS = 2_245_275

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not FX.is_dir(), reason="the real quotes are not here"),
]

STRATEGIES = """
from tickrail import Strategy

class Cross(Strategy):
    fast: int = 20
    slow: int = 100

    def on_start(self):
        self.a, self.b = 2 / (self.fast + 1), 2 / (self.slow + 1)
        self.x, self.y = {}, {}

    def on_quote(self, tick):
        name, mid = tick.instrument, tick.mid
        x = self.x.get(name, mid)
        y = self.y.get(name, mid)
        self.x[name] = x = x + self.a * (mid - x)
        self.y[name] = y = y + self.b * (mid - y)
        self.target(name, 1.0 if x > y else 0.0)

class Arbitrage(Strategy):
    edge: float = 0.00005

    def on_start(self):
        self.mids = {}

    def on_quote(self, tick):
        self.mids[str(tick.instrument)] = tick.mid
        if len(self.mids) == 2:
            gap = self.mids["EURUSD.OANDA"] - self.mids["EURUSD.FXCM"]
            if abs(gap) > self.edge:
                self.target("EURUSD.OANDA", -1.0 if gap > 0 else 1.0)
"""

CONFIGURATION = """
[feeds.a-oanda]
path = "data/oanda-eurusd.ticks"
[feeds.b-fxcm]
path = "data/fxcm-eurusd.ticks"
[feeds.c-gold]
path = "data/oanda-xauusd.ticks"
[venues.OANDA]
fee_rate = 0.00001
[venues.FXCM]
[strategies.cross]
class = "strategies:Cross"
instruments = ["EURUSD.OANDA", "EURUSD.FXCM", "XAUUSD.OANDA"]
[strategies.arbitrage]
class = "strategies:Arbitrage"
instruments = ["EURUSD.OANDA", "EURUSD.FXCM"]
"""


def tickrail_command(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tickrail", *map(str, words)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fx")
    (root / "data").mkdir()
    (root / "config" / "backtest").mkdir(parents=True)
    (root / "config" / "backtest" / "runtime.toml").write_text(CONFIGURATION)
    (root / "strategies.py").write_text(STRATEGIES)
    for feed, count in FEEDS.items():
        out = f"data/{feed.replace('/', '-')}.ticks"
        report = json.loads(tickrail_command("data", "import", FX / feed, "-o", out, "--json", cwd=root))
        assert report["count"] == count
    return root


def run(project: Path, *words: str, **environment: str) -> dict[str, Any]:
    printed = tickrail_command("run", "--env", "backtest", "--json", *words, cwd=project, **environment)
    result: dict[str, Any] = json.loads(printed)
    return result


def test_the_files_hold_the_quotes_of_all_days_in_order(project: Path) -> None:
    for feed, count in FEEDS.items():
        ticks = tickrail.read_ticks(project / "data" / f"{feed.replace('/', '-')}.ticks")
        records = ticks.numpy()
        assert len(ticks) == count
        assert (np.diff(records["ts_event"]) >= 0).all()
        broker, symbol = feed.split("/")
        assert [str(one) for one in ticks.instruments] == [f"{symbol}.{broker}".upper()]


def test_the_merge_is_in_time_order_across_time_zones(project: Path) -> None:
    last, seen = 0, dict.fromkeys(("EURUSD.OANDA", "EURUSD.FXCM", "XAUUSD.OANDA"), 0)
    files = [project / "data" / f"{feed.replace('/', '-')}.ticks" for feed in FEEDS]
    spreads: list[float] = []
    mids: dict[str, float] = {}
    with tickrail.open_run(files) as ticks:
        for tick in ticks:
            assert tick.ts_event >= last
            last = tick.ts_event
            name = str(tick.instrument)
            seen[name] += 1
            mids[name] = tick.mid
            if len(mids) == 3:
                spreads.append(abs(mids["EURUSD.OANDA"] - mids["EURUSD.FXCM"]))
    assert sum(seen.values()) == TICKS
    assert np.median(spreads) < 0.0001, "hours apart, the two brokers would not agree to a pip"


@pytest.fixture(scope="module")
def first(project: Path) -> dict[str, Any]:
    return run(project, PYTHONHASHSEED="0")


def test_one_digest_in_every_process_under_any_hash_seed_and_slice_length(project: Path, first: dict[str, Any]) -> None:
    ways = {"1": 1, "random": 7}
    results = [run(project, "--set", f"runtime.slice_ticks={n}", PYTHONHASHSEED=seed) for seed, n in ways.items()]
    assert {result["digest"] for result in results} == {first["digest"]}
    assert first["ticks"] == TICKS
    assert first["status"] == "complete"
    for strategy in first["strategies"]:
        assert strategy["fills"] > 0, strategy["name"]
    full = [run(project, "--set", "runtime.digest=full", "--set", f"runtime.slice_ticks={n}") for n in (1, 4096)]
    assert full[0]["digest"] == full[1]["digest"] != first["digest"]


def test_the_bootstrapper_gives_the_same_in_this_process(project: Path, first: dict[str, Any]) -> None:
    with tickrail.RuntimeBootstrapper("backtest", root=project / "config").bootstrap() as runtime:
        result = runtime.run()
    assert result.digest == first["digest"]
    fills = result.fills
    assert len(fills) > 0
    assert (fills["made_position"] < fills["position"]).all()
