"""The venue and our process are killed and started again at random: positions stay exact, and no order is doubled.

Six times with an interpreter started anew each time; fifty times forked off one that has loaded everything."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from killed_processes import Killable, serve, trade


class Rehearsal:
    """A venue and a process that trades there, each of which may die at any moment."""

    def __init__(self, folder: Path, how: Literal["spawn", "forkserver"]) -> None:
        self.file, self.how = folder / "orders.jsonl", how
        self.port = 0
        self.runs = 0
        self.began: dict[int, float] = {}
        self.venue = self.start_venue()

    def start_venue(self) -> Killable:
        venue = Killable(self.how, serve, self.file, self.port)
        self.port = venue.said()
        return venue

    def start_trader(self, seconds: float) -> Killable:
        """One that has begun, and said what it holds."""
        self.runs += 1
        trader = Killable(self.how, trade, self.port, f"r{self.runs}", seconds)
        self.began[self.runs] = trader.said()
        return trader

    @contextmanager
    def ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.venue.kill()

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


def rehearse(folder: Path, deaths: int, seed: int, how: Literal["spawn", "forkserver"]) -> None:
    chance = random.Random(seed)
    stage = Rehearsal(folder, how)
    with stage.ended():
        trader = stage.start_trader(600.0)
        for _ in range(deaths):
            time.sleep(chance.uniform(0.02, 0.25))
            if chance.random() < 0.5:
                stage.venue.kill()
                time.sleep(chance.uniform(0.0, 0.1))
                stage.venue = stage.start_venue()
            else:
                trader.kill()
                trader = stage.start_trader(600.0)
        trader.kill()
        last = stage.start_trader(0.5)
        ended = last.said()
        assert last.end() == 0
        check(stage, ended)


def check(stage: Rehearsal, ended: dict[str, Any]) -> None:
    entries = stage.entries()
    for number, held in stage.began.items():
        assert held == stage.held_before(number), f"run {number} began with what was not held"
    assert ended["held"] == stage.held_before(10**9), "the position at the end"
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
    rehearse(tmp_path, 6, seed=int(os.environ.get("TICKRAIL_KILL_SEED", "1")), how="spawn")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_times(tmp_path: Path) -> None:
    rehearse(tmp_path, 50, seed=2, how="forkserver")
