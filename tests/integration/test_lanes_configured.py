"""Lanes from configuration files: the table of a strategy, what is refused of it, restarts, the command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_runs import in_thread

from tickrail import RuntimeBootstrapper, data
from tickrail._native import TickFileWriter
from tickrail.config import load_config
from tickrail.errors import ConfigProblems

pytest.importorskip("numba")

FILES = {
    "config/base/strategies.toml": """
        [strategies.counts]
        class = "lane_counts:Counts"
        lane = { capacity = 256 }
        """,
    "config/backtest/runtime.toml": '[feeds.a]\npath = "a.ticks"\n[venues.SIM]\n',
    "config/paper/runtime.toml": '[feeds.a]\npath = "a.ticks"\nspeed = "max"\n[venues.SIM]\n',
    "config/live/runtime.toml": """
        [feeds.a]
        adapter = "published"
        options = { instruments = ["EURUSD.SIM"] }
        [venues.SIM]
        """,
    "lane_counts.py": """
import numpy as np
from tickrail import Strategy


class Counts(Strategy):
    every: int = 100
    state_dtype = np.dtype([("every", "i8"), ("count", "i8")])

    @staticmethod
    def on_quote(tick, state, out):
        state.count += 1
        if state.count % state.every == 0:
            out.buy(tick.instrument, 1.0)


class Plain(Strategy):
    every: int = 100

    def on_quote(self, tick):
        pass
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text if name.endswith(".py") else text.replace("        ", ""))
    with TickFileWriter(tmp_path / "a.ticks") as writer:
        writer.append_ticks(data.generate_ticks(5_000, 7, instruments=["EURUSD.SIM"]))
        writer.commit()
    yield tmp_path
    sys.modules.pop("lane_counts", None)


def bootstrapped(project: Path, env: str, *overrides: str) -> Any:
    return RuntimeBootstrapper(env, root=project / "config", overrides=overrides, environ={}).bootstrap()


def test_a_lane_from_the_table_of_a_strategy(project: Path) -> None:
    with bootstrapped(project, "paper") as runtime:
        result = runtime.run()
        (strategy,) = runtime.dispatcher.strategies.values()
        lane = runtime.stats().strategy("counts").lane
    assert (result.status, result.ticks, len(result.orders)) == ("complete", 5_000, 50)
    assert strategy.snapshot()["count"] == 5_000
    assert lane is not None
    assert (lane.offered, lane.handled, lane.asked) == (5_000, 5_000, 50)


def test_a_backtest_from_the_same_table_has_none_and_says_so(project: Path) -> None:
    with bootstrapped(project, "backtest") as runtime:
        result = runtime.run()
    assert "lanes" not in result.stats
    assert result.stats["notes"] == ["a backtest has no lanes: counts was called by the loop"]

    def digest(*overrides: str) -> bytes:
        return load_config("backtest", root=project / "config", environ={}, overrides=overrides).digest

    assert digest() == digest('strategies.counts.lane={ policy = "lossy" }'), "it decides nothing"


@pytest.mark.parametrize(
    ("override", "place", "message"),
    [
        ("strategies.counts.class=lane_counts:Plain", "strategies.counts.lane", "its handlers are Python"),
        ("strategies.counts.lane={ processor = 65000 }", "strategies.counts.lane.processor", "cannot be had"),
        ("strategies.counts.lane={ capacity = 3 }", "strategies.counts.lane.capacity", "a power of two"),
        ('strategies.counts.lane={ policy = "hope" }', "strategies.counts.lane.policy", "'gating' or 'lossy'"),
        ("strategies.counts.lane={ timeout_s = 0 }", "strategies.counts.lane.timeout_s", "more than 0"),
        ("strategies.counts.lane={ colour = 1 }", "strategies.counts.lane.colour", "unknown key"),
    ],
)
def test_what_can_be_no_lane_is_said_with_its_place(project: Path, override: str, place: str, message: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        bootstrapped(project, "paper", override)
    text = str(caught.value)
    assert place in text
    assert message in text


def test_a_restart_begins_a_new_life_on_a_new_lane(project: Path) -> None:
    with bootstrapped(project, "live", "strategies.counts.params.every=400") as runtime:
        feed = runtime.feed("a")
        first = runtime.dispatcher.strategies["counts"]
        snapshots: list[int] = []

        def produce() -> None:
            try:
                with feed.publisher() as publisher:
                    for number in range(1_000):
                        publisher.publish_quote("EURUSD.SIM", 1.0 + number, 1.1 + number)
                    for number in range(50):  # one of which the last order fills at: a restart waits for that
                        time.sleep(0.002)
                        publisher.publish_quote("EURUSD.SIM", 1.0 + number, 1.1 + number)
                    while runtime.stats().strategy("counts").lane.handled < 1_050:
                        time.sleep(0.01)
                    snapshots.append(int(first.snapshot()["count"]))
                    runtime.restart("counts").result(30)
                    for number in range(250):
                        publisher.publish_quote("EURUSD.SIM", 1.0 + number, 1.1 + number)
            finally:
                runtime.seal()

        joined = in_thread(produce)
        result = runtime.run()
        joined()
        second = runtime.dispatcher.strategies["counts"]
        lane = runtime.stats().strategy("counts").lane
    assert result.ok, result.errors
    assert snapshots == [1_050]
    assert second is not first
    assert second.snapshot()["count"] == 250, "a state of its own"
    assert (lane.offered, lane.handled) == (1_300, 1_300)
    assert len(result.orders) == 2


@pytest.mark.slow
def test_the_command_tells_latencies_and_the_lane(project: Path) -> None:
    command = [sys.executable, "-m", "tickrail", "run", "--env", "paper", "--config-root", str(project / "config")]
    text = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert text.returncode == 0, text.stderr
    for part in ("handler", "tick to handler", "lag", "most waiting", "lane lost", "p50", "p99"):
        assert part in text.stdout
    plain = subprocess.run([*command, "--json"], cwd=project, capture_output=True, text=True, check=False)
    said = json.loads(plain.stdout)["stats"]
    assert said["measured"]["counts"]["handler"]["p99_ns"] >= said["measured"]["counts"]["handler"]["p50_ns"] > 0
    assert said["measured"]["counts"]["latency"]["count"] > 0
    assert said["feeds"]["a"]["wait"]["p99_ns"] >= 0
    assert said["lanes"]["counts"]["handled"] == 5_000
    silent = subprocess.run(
        [*command, "--json", "--set", "runtime.sample_every=0"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "measured" not in json.loads(silent.stdout)["stats"]
