"""The end of a run that a program drives: bounded where nobody may end the process, and told where that cannot be."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_runs import LONG_S, in_thread

from tickrail import RuntimeBootstrapper
from tickrail.orchestration import away as away_module
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.testing.execution import FakeExecution

CONFIG = """
[runtime]
hook_deadline_ns = 40_000_000
orders_deadline_ns = 3_600_000_000_000
drain_deadline_ns = 3_600_000_000_000
adapter_prefixes = ["ends"]
[feeds.mine]
adapter = "published"
options = { instruments = ["A.SIM"] }
[feeds.other]
adapter = "ends:Feed"
[venues.SIM]
order_latency_ns = 3_600_000_000_000
[strategies.one]
class = "ends:Ends"
"""
MODULE = """
import threading
from tickrail import Strategy

hangs_in, running, go_on = "", threading.Event(), threading.Event()

def hang(where):
    if where == hangs_in:
        running.set()
        assert go_on.wait(60)

class Feed:
    instruments = ("B.SIM",)
    settings = {}
    def __init__(self, *, name): pass
    def start(self, feed): pass
    def close(self): hang("close")

class Ends(Strategy):
    def on_quote(self, tick):
        if hangs_in == "orders":
            self.buy("A.SIM", 1.0, limit=0.5)
        running.set()
        hang("on_quote")
    def on_start(self): open("started", "w").close()
    def on_stop(self): hang("on_stop")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "config" / "live" / "runtime.toml").write_text(CONFIG)
    (tmp_path / "ends.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import ends  # type: ignore[import-not-found]

    yield ends
    ends.go_on.set()
    sys.modules.pop("ends", None)


def opened(module: Any, where: str) -> Any:
    """A runtime that has as good as no time, and hangs in one of its steps."""
    module.hangs_in = where
    runtime = RuntimeBootstrapper("live", environ={}).bootstrap()
    runtime.end_deadline_s = 0.2
    return runtime


def stopping(runtime: Any, module: Any) -> Callable[[], None]:
    """Publishes a quote, and stops the run once its handler has been called."""

    def act() -> None:
        with runtime.feed("mine").publisher() as publisher:
            publisher.publish_quote("A.SIM", 1.0, 1.1)
            assert module.running.wait(LONG_S)
            runtime.request_stop()

    return in_thread(act)


def until_told(caplog: pytest.LogCaptureFixture, words: str) -> str:
    deadline = time.monotonic() + LONG_S
    while True:
        for record in list(caplog.records):
            if record.name == "tickrail.shutdown" and words in record.getMessage():
                return record.getMessage()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_answers_that_never_come_are_given_up_when_the_whole_time_is_over(
    module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that was given an hour does not outlast the whole."""
    with opened(module, "orders") as runtime:
        stopped = stopping(runtime, module)
        began = time.monotonic()
        result = runtime.run()
        stopped()
    assert time.monotonic() - began < 20.0
    assert result.status == "stopped"
    first, *rest = result.stats["ending"]["abandoned"]
    assert first.startswith("orders: it was hurried after ")
    assert rest == ["strategy one: order 1 of A.SIM is still open"]
    assert "the shutdown has had its time (0.2 s): it is given up what the run still waits for" in caplog.text


@pytest.mark.parametrize("where", ["on_quote", "on_stop"])
def test_a_hook_that_hangs_is_named_when_the_time_is_over(
    module: Any, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """It runs on the program's own thread, from which nobody takes it; what comes after it is still done."""
    with opened(module, where) as runtime:
        stopped = stopping(runtime, module)
        told: list[str] = []

        def watch() -> None:
            told.append(until_told(caplog, "it is given up"))
            module.go_on.set()

        watching = in_thread(watch)
        result = runtime.run()
        stopped()
        watching()
    assert f"in {where}" in told[0]
    assert [one.state for one in result.strategies] == ["STOPPED"]


def test_an_adapter_that_does_not_close_is_named(module: Any, caplog: pytest.LogCaptureFixture) -> None:
    runtime = opened(module, "close")
    stopped = stopping(runtime, module)
    runtime.run()
    stopped()
    closing = in_thread(runtime.close)
    assert "in close" in until_told(caplog, "services are still being closed")
    module.go_on.set()
    closing()


def test_who_is_cancelled_waits_for_a_handler_no_longer_than_the_end_may_take(module: Any) -> None:
    runtime = opened(module, "on_quote")
    began = time.monotonic()

    async def serve() -> None:
        serving = asyncio.ensure_future(runtime.run_async())
        publisher = runtime.feed("mine").publisher()
        publisher.publish_quote("A.SIM", 1.0, 1.1)
        while not module.running.is_set():
            await asyncio.sleep(0.005)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        publisher.close()

    asyncio.run(serve())
    assert time.monotonic() - began < 20.0
    (left,) = [one for one in threading.enumerate() if one.name == "tickrail-dispatch"]
    module.go_on.set()
    left.join(LONG_S)
    assert not left.is_alive()
    runtime.close()


def test_an_io_thread_that_does_not_answer_keeps_no_venue_from_being_let_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(away_module, "CLOSE_TIMEOUT_S", 0.05)
    venue, go_on = FakeExecution(), threading.Event()
    io = IoThread()
    dispatcher = TickDispatcher([{"id": "A.FAKE"}], live="park", io=io)
    sent = dispatcher.send_away({"FAKE": venue})
    sent.begin([], ["A.FAKE"])

    async def keep() -> None:
        go_on.wait(LONG_S)

    io.run(keep())
    with caplog.at_level(logging.ERROR):
        sent.close()
    assert venue.is_closed
    assert "the I/O thread does not answer: what is on its way to venue FAKE is left" in caplog.text
    go_on.set()
    io.close()


@pytest.mark.slow
@pytest.mark.parametrize("hangs_in", ["", "close"])
def test_a_program_that_asks_for_it_ends_as_the_command_line_does(module: Any, tmp_path: Path, hangs_in: str) -> None:
    """``python -m tickrail.orchestration.bootstrapper`` is one: drained at SIGTERM, or ended when its time is over."""
    (tmp_path / "ends.py").write_text(MODULE.replace('= "",', f'= "{hangs_in}",'))
    first = "import tickrail.orchestration.shutdown as s; s.Shutdown.__init__.__kwdefaults__['deadline_s'] = 1.0\n"
    code = f"{first}import sys; from tickrail.orchestration.bootstrapper import main; sys.exit(main(['--env', 'live']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LONG_S
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LONG_S)
    if hangs_in:
        assert process.returncode == 70, err
        assert "has had its time (1 s) and is given up while services are closed" in err
    else:
        assert (process.returncode, err) == (0, "")
        assert "stopped" in out
