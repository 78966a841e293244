"""A configured strategy restarts while its run goes on: a new object, new services, the state of the old one."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail import RuntimeBootstrapper, State
from tickrail._native import TickFileWriter

STRATEGIES = """
    [strategies.one]
    class = "restarting:Restarting"
    params = { step = 2 }
    [feeds.eurusd]
    path = "data/eurusd.ticks"
"""
MODULE = """
    from tickrail import Inject, Provider, Strategy

    log = []

    class Notes:
        pass

    def notes():
        log.append("notes made")
        yield Notes()
        log.append("notes closed")

    services = Provider().scoped(Notes, notes)

    class Restarting(Strategy):
        step: int = 1
        notes: Inject[Notes]

        def on_start(self):
            log.append(f"start with {self.state.get('seen', 0)}")
            self.seen = self.state.get("seen", 0)

        def on_tick(self, tick):
            self.seen += self.step
            if self.seen == 10:
                self.runtime.restart("one").add_done_callback(lambda done: log.append(done.result().name))

        def on_stop(self):
            log.append("stop")
            self.state["seen"] = self.seen
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    for name, text in {"config/test/all.toml": STRATEGIES, "restarting.py": MODULE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "data").mkdir()
    records = np.zeros(9, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 10)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.1
    with TickFileWriter(tmp_path / "data" / "eurusd.ticks") as writer:
        writer.append_ticks(tickrail.TickArray.from_records(records, ["EURUSD.SIM"]))
        writer.commit()
    yield tmp_path
    sys.modules.pop("restarting", None)


def test_it_has_a_new_scope_and_the_state(project: Path) -> None:
    bootstrapper = RuntimeBootstrapper("test", root=project / "config", environ={}, modules=["restarting:services"])
    with bootstrapper.bootstrap() as runtime:
        import restarting

        old = runtime.dispatcher.strategies["one"]
        old.runtime = runtime  # type: ignore[attr-defined]
        result = runtime.run()
        new = runtime.dispatcher.strategies["one"]
        assert runtime.lives.standing("one").state is State.STOPPED
    assert result.ok, result.errors
    assert new is not old
    assert new.notes is not old.notes  # type: ignore[attr-defined]
    assert new.seen == 18  # type: ignore[attr-defined]
    assert restarting.log == [
        *("notes made", "start with 0", "stop", "notes closed"),
        *("notes made", "start with 10", "RUNNING", "stop", "notes closed"),
    ]
    assert [change.operation for change in result.changes] == [
        *("initialise", "start", "stop", "restart", "initialise", "start", "stop"),
    ]
