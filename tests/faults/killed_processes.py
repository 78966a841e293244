"""What is killed in ``test_kill_restart.py``: a venue and a process that trades there, each of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import tickrail
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.orchestration.live import open_live
from tickrail.testing.loopback_venue import LoopbackVenue

A = "A.LOOP"
LONG_S = 60.0
LOADED = ["tickrail.adapters.live.loopback", "tickrail.orchestration.live", "tickrail.testing.loopback_venue"]


class Killable:
    """A process that says things, until it is killed.

    Args:
        how: ``spawn``: by an interpreter of its own. ``forkserver``: off a process that has loaded ``LOADED``, which is
            what nine tenths of the start of an interpreter are spent for.
        target: What it does; says what it has to by its first argument.
    """

    def __init__(self, how: Literal["spawn", "forkserver"], target: Callable[..., None], *given: Any) -> None:
        context = multiprocessing.get_context(how)
        context.set_forkserver_preload(LOADED)
        self._heard, told = context.Pipe(duplex=False)
        self.process = context.Process(target=target, args=(told, *given), daemon=True)
        self.process.start()
        told.close()

    def said(self) -> Any:
        """What it says next."""
        assert self._heard.poll(LONG_S), "it says nothing"
        try:
            return self._heard.recv()
        except EOFError:
            self.process.join(LONG_S)
            raise AssertionError(f"it has ended by {self.process.exitcode}, see its stderr") from None

    def kill(self) -> None:
        """As nothing in it can prevent."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> int | None:
        """Wait for its end; the exit code."""
        self.process.join(LONG_S)
        self._heard.close()
        return self.process.exitcode


def serve(told: Connection, file: Path, port: int) -> None:
    with LoopbackVenue(file, port=port, parts=2, ack_delay_s=0.002) as venue:
        told.send(int(venue.address.rpartition(":")[2]))
        threading.Event().wait()


def trade(told: Connection, port: int, run_id: str, seconds: float) -> None:
    begun = threading.Event()

    class Trader(tickrail.Strategy):
        def on_start(self) -> None:
            self.count = 0
            told.send(self.position(A))
            begun.set()

        def on_tick(self, tick: tickrail.Tick) -> None:
            self.count += 1
            if self.count % 3 == 0:
                self.target(A, (self.count % 7) - 3.0)
            if self.count % 5 == 0:
                self.buy(A, 1.0, limit=0.5)

    venue = LoopbackExecution(name="LOOP", address=f"127.0.0.1:{port}", timeout_s=0.5, unknown_orders="cancel")
    run = open_live(Trader(), [A], execution={"LOOP": venue}, run_id=run_id)
    feed = run.feed("quotes")

    def publish() -> None:
        with feed.publisher() as publisher:
            begun.wait(LONG_S)  # it asks the venue first, which may be dead
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                publisher.publish_quote(A, 0.9, 1.1)
                time.sleep(0.002)
        # What is on its way comes back before the end is looked at.
        time.sleep(0.5)
        run.request_stop()

    threading.Thread(target=publish, daemon=True).start()
    result = run.run()
    still_open = sum(status in (0, 1, 5, 6) for status in result.orders["status"])
    held = sum(position.net for one in result.strategies for position in one.positions)
    told.send({"held": held, "open": int(still_open)})
