"""The venue and our process are killed and started again at random: positions stay exact, and no order is doubled.

Six times in the quick tier; fifty times behind the marker ``slow`` (some two minutes)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

A = "A.LOOP"
PROCESS = """
import json, sys, threading, time
import tickrail
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.orchestration.live import open_live

address, run_id, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])


def say(**what):
    print(json.dumps(what), flush=True)


class Trader(tickrail.Strategy):
    def on_start(self):
        self.count = 0
        say(began=self.position("A.LOOP"))

    def on_tick(self, tick):
        self.count += 1
        if self.count % 3 == 0:
            self.target("A.LOOP", (self.count % 7) - 3.0)
        if self.count % 5 == 0:
            self.buy("A.LOOP", 1.0, limit=0.5)


trader = Trader()
port = LoopbackExecution(name="LOOP", address=address, timeout_s=0.5, unknown_orders="cancel")
run = open_live(trader, ["A.LOOP"], execution={"LOOP": port}, run_id=run_id)
feed = run.feed("quotes")


def publish():
    end = time.monotonic() + seconds
    with feed.publisher() as publisher:
        while time.monotonic() < end:
            publisher.publish_quote("A.LOOP", 0.9, 1.1)
            time.sleep(0.002)
    # What is on its way comes back before the end is looked at.
    time.sleep(0.5)
    run.request_stop()


threading.Thread(target=publish, daemon=True).start()
result = run.run()
still_open = sum(status in (0, 1, 5, 6) for status in result.orders["status"])
held = [position.net for one in result.strategies for position in one.positions]
say(ended=sum(held), orders=len(result.orders), open=int(still_open))
"""


class Rehearsal:
    """A venue and a process that trades there, each of which may die at any moment."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "orders.jsonl"
        self.script = folder / "trader.py"
        self.script.write_text(PROCESS)
        self.port = 0
        self.runs = 0
        self.started: dict[str, float] = {}
        self.venue = self.start_venue()

    def start_venue(self) -> subprocess.Popen[str]:
        arguments = [str(self.file), "--port", str(self.port), "--parts", "2", "--ack-delay-s", "0.002"]
        venue = subprocess.Popen(
            [sys.executable, "-m", "tickrail.testing.loopback_venue", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert venue.stdout is not None
        self.port = int(venue.stdout.readline().strip().rpartition(":")[2])
        return venue

    def start_trader(self, seconds: float) -> subprocess.Popen[str]:
        self.runs += 1
        arguments = [f"127.0.0.1:{self.port}", f"r{self.runs}", str(seconds)]
        return subprocess.Popen(
            [sys.executable, str(self.script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def kill_venue(self) -> None:
        kill(self.venue)

    @contextmanager
    def ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.kill_venue()

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_bytes().splitlines()]

    def held_before(self, number: int) -> float:
        """What the venue's books say was held when the first order came of this run, or of one after it."""
        held, sides = 0.0, dict[str, str]()
        for entry in self.entries():
            run = int(entry["client_id"].partition("-")[0].removeprefix("r"))
            sides.setdefault(entry["client_id"], entry.get("side", ""))
            if run >= number and "side" in entry:
                break
            if "fill" in entry:
                held += entry["fill"][0] * (1 if sides[entry["client_id"]] == "BUY" else -1)
        return round(held, 9)


def kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def said(process: subprocess.Popen[str], key: str) -> float:
    """What the process says next under ``key``."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate(timeout=20)
        raise AssertionError(errors)
    return float(json.loads(line)[key])


def rehearse(folder: Path, deaths: int, seed: int) -> None:
    chance = random.Random(seed)
    stage = Rehearsal(folder)
    with stage.ended():
        trader = stage.start_trader(600.0)
        began = {stage.runs: said(trader, "began")}
        for _ in range(deaths):
            time.sleep(chance.uniform(0.02, 0.25))
            if chance.random() < 0.5:
                stage.kill_venue()
                time.sleep(chance.uniform(0.0, 0.1))
                stage.venue = stage.start_venue()
            else:
                kill(trader)
                trader = stage.start_trader(600.0)
                began[stage.runs] = said(trader, "began")
        kill(trader)
        last = stage.start_trader(0.5)
        began[stage.runs] = said(last, "began")
        out, errors = last.communicate(timeout=60)
        assert last.returncode == 0, errors
        ended = json.loads(out.splitlines()[-1])
        check(stage, began, ended)


def check(stage: Rehearsal, began: dict[int, float], ended: dict[str, Any]) -> None:
    entries = stage.entries()
    for number, held in began.items():
        assert held == stage.held_before(number), f"run {number} began with what was not held"
    assert ended["ended"] == stage.held_before(10**9), "the position at the end"
    assert ended["open"] == 0, "orders are taken back at the end"
    orders = [entry for entry in entries if "side" in entry]
    names = [entry["client_id"] for entry in orders]
    assert len(names) == len(set(names)), "an order was doubled"
    filled = dict[str, float]()
    for entry in entries:
        if "fill" in entry:
            filled[entry["client_id"]] = filled.get(entry["client_id"], 0.0) + entry["fill"][0]
    ordered = {entry["client_id"]: entry["quantity"] for entry in orders}
    assert all(amount <= ordered[name] + 1e-9 for name, amount in filled.items()), "more was filled than ordered"
    assert len(orders) > 10, "the rehearsal was one"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_positions_stay_exact_when_either_side_is_killed(tmp_path: Path) -> None:
    rehearse(tmp_path, 6, seed=int(os.environ.get("TICKRAIL_KILL_SEED", "1")))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_times(tmp_path: Path) -> None:
    rehearse(tmp_path, 50, seed=2)
