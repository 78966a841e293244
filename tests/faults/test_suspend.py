"""A live run whose process is stopped for a while: what is overdue fires once, in order, and then all goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

RUN = """
import json
import tickrail

class Beats(tickrail.Strategy):
    def on_start(self):
        self.schedule_every(10_000_000, lambda event: self.tell("fast", event), name="fast")
        self.schedule_every(20_000_000, lambda event: self.tell("slow", event), name="slow")
    def tell(self, who, event):
        print(json.dumps([who, event.due_ns, event.now_ns, event.count, event.missed]), flush=True)

tickrail.open_live(Beats(), ["EURUSD.SIM"]).run()
"""
STOPPED_S = 1.0


@pytest.mark.slow
def test_overdue_timers_fire_once_each_in_order_after_the_process_was_stopped() -> None:
    child = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        seen = [json.loads(child.stdout.readline()) for _ in range(6)]
        child.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)  # what is tested: the time for which nothing runs
        child.send_signal(signal.SIGCONT)
        seen += [json.loads(child.stdout.readline()) for _ in range(40)]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    for who, interval_ms in (("fast", 10), ("slow", 20)):
        mine = [event for event in seen if event[0] == who]
        assert all(now >= due for _, due, now, _, _ in mine), "never early"
        assert sum(1 + missed for *_, missed in mine) == mine[-1][3], "every time is accounted for"
        first = mine[0][1] - (mine[0][3] - 1) * interval_ms * 1_000_000
        assert all(due == first + (count - 1) * interval_ms * 1_000_000 for _, due, _, count, _ in mine), "no drift"
        assert max(missed for *_, missed in mine) >= STOPPED_S * 1_000 / interval_ms * 0.8, "they became one"
    assert [now for _, _, now, _, _ in seen] == sorted(now for _, _, now, _, _ in seen)
