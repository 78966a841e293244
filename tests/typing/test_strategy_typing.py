"""What mypy says about strategies: mistakes are errors, and what is right is known by its type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
from tickrail.strategy import Inject, Strategy, injected
from tickrail._native import Tick, OrderUpdate

class PriceStore:
    def last(self) -> float:
        return 1.0

class Cross(Strategy):
    fast: int = 20
    quantity: float = 1.0
    prices: Inject[PriceStore]

    def on_start(self) -> None:
        self.average = 0.0

    def on_quote(self, tick: Tick) -> None:
        self.average += tick.bid
        reveal_type(tick.bid)
        reveal_type(self.prices)
        reveal_type(self.prices.last())
        reveal_type(self.fast)
        reveal_type(self.buy(tick.instrument, 1.0))

class Optional(Strategy):
    prices: Inject[PriceStore] = injected()

Cross(fast=20, prices=PriceStore())
Cross(quantity=1, prices=PriceStore())
Optional()
"""
REVEALED = ["float", "PriceStore", "float", "int", "int"]

WRONG = {
    "Cross(fats=20)": 'Unexpected keyword argument "fats"',
    'Cross(fast="15")': "incompatible type",
    "Cross(20)": "Too many positional arguments",
    "Level()": 'Missing named argument "level"',
    "Cross().fast = 3": "read-only",
    "Cross().slow": 'has no attribute "slow"',
    'Cross().target("EURUSD.SIM", "all")': "incompatible type",
}
CLASSES = """
from tickrail.strategy import Strategy
class Cross(Strategy):
    fast: int = 20
class Level(Strategy):
    level: float
"""


def check(tmp_path: Path, code: str) -> list[str]:
    (tmp_path / "snippet.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file=",
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
    ]
    done = subprocess.run(
        [*command, "snippet.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT / "python"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_what_is_right_is_known_by_its_type(tmp_path: Path) -> None:
    lines = check(tmp_path, GOOD)
    assert [line for line in lines if "error" in line] == []
    revealed = [re.search(r'Revealed type is "(?:[\w]+\.)*(\w+)"', line) for line in lines if "Revealed" in line]
    assert [found[1] if found else None for found in revealed] == REVEALED


@pytest.mark.slow
def test_what_is_wrong_is_an_error(tmp_path: Path) -> None:
    start = CLASSES.count("\n") + 1
    lines = check(tmp_path, CLASSES + "\n".join(WRONG) + "\n")
    for number, (code, said) in enumerate(WRONG.items(), start):
        found = [line for line in lines if line.startswith(f"snippet.py:{number}: error")]
        assert found, f"{code}: no error"
        assert any(said in line for line in found), (code, found)
