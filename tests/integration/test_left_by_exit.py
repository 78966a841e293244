"""``sys.exit`` in a handler: to a command a failure with its reason, and no Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tickrail.cli import main as command
from tickrail.data import generate_file
from tickrail.orchestration.bootstrapper import main

MODULE = """
import sys
from tickrail import Strategy

class Exiting(Strategy):
    def on_quote(self, tick):
        sys.exit(3)

class Interrupting(Strategy):
    def on_quote(self, tick):
        raise KeyboardInterrupt

class ExitingAtStart(Strategy):
    def on_start(self):
        sys.exit(9)

class ExitingAtStop(Strategy):
    def on_stop(self):
        sys.exit(9)

class InterruptingAtStop(Strategy):
    def on_stop(self):
        raise KeyboardInterrupt
"""
RUNTIME = """
[feeds.demo]
path = "demo.ticks"
[venues.SIM]
[strategies.one]
class = "leaving_strategies:Exiting"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "config" / "test").mkdir(parents=True)
    (tmp_path / "config" / "test" / "x.toml").write_text(RUNTIME)
    (tmp_path / "leaving_strategies.py").write_text(MODULE)
    generate_file(tmp_path / "demo.ticks", 100, seed=1)
    for name in [name for name in os.environ if name.startswith("TICKRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("leaving_strategies", None)


@pytest.mark.parametrize(
    ("name", "code", "reason", "ticks"),
    [
        ("Exiting", 1, "SystemExit: 3", "1 tick"),
        ("Interrupting", 130, "KeyboardInterrupt", "1 tick"),
        ("ExitingAtStart", 1, "SystemExit: 9", "0 ticks"),
        ("ExitingAtStop", 1, "SystemExit: 9", "100 ticks"),
        ("InterruptingAtStop", 130, "KeyboardInterrupt", "100 ticks"),
    ],
)
def test_the_command_says_why_and_exits_by_it(
    name: str, code: int, reason: str, ticks: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", f"strategies.one.class=leaving_strategies:{name}"]
    assert main(["--env", "test", *words]) == code
    assert f"interrupted ({reason}): {ticks} in" in capsys.readouterr().out
    sys.modules.pop("leaving_strategies", None)
    done = CliRunner().invoke(command, ["run", "--env", "test", "--json", *words])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["status"], said["stop_reason"]) == (code, "interrupted", reason)
    written = json.loads((Path(said["folder"]) / "result.json").read_text())
    assert written["stop_reason"] == reason
