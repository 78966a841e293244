"""A backtest over many instruments and many days, of which the process may not have a tenth in memory of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail._native import TickFileWriter

pytestmark = pytest.mark.slow

DAY_NS = 86_400_000_000_000
DAYS, INSTRUMENTS, TICKS = 4, 6, 160_000
MEBIBYTE = 1 << 20
#: What the run may have beside what the process has before it; the kernel refuses more.
ALLOWED = 24 * MEBIBYTE

RUN = """
import json, resource, sys
import numpy as np
import tickrail
from tickrail import AccountTerms, Strategy

def private():
    lines = dict(line.split(':', 1) for line in open('/proc/self/status'))
    return {name: int(lines[name].split()[0]) * 1024 for name in ('VmData', 'RssAnon')}

class Trades(Strategy):
    def on_start(self):
        self.seen, self.most = 0, 0
    def on_batch(self, batch):
        before, self.seen = self.seen, self.seen + len(batch.records)
        if self.seen // 50_000 > before // 50_000:
            self.most = max(self.most, private()['RssAnon'])
            self.target('S0.SIM', float(self.seen // 50_000 % 2))

tickrail.backtest(Trades(), sys.argv[2], account=AccountTerms(currency='USD'))  # what is loaded late is there
before, allowed = private(), int(sys.argv[1])
most = before['VmData'] + allowed
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
trades = Trades()
result = tickrail.backtest(trades, sys.argv[2:], account=AccountTerms(currency='USD'))
try:
    np.ones(2 * allowed // 8)
    is_held = False
except MemoryError:
    is_held = True
print(json.dumps({'ticks': result.ticks, 'seen': trades.seen, 'status': result.status, 'fills': len(result.fills),
                  'grown': trades.most - before['RssAnon'], 'is_held': is_held}))
"""


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    records = np.zeros(TICKS, tickrail.QUOTE_DTYPE)
    records["kind"] = 1
    records["bid"] = 100.0 + np.cumsum(np.random.default_rng(1).normal(scale=0.001, size=TICKS))
    records["ask"] = records["bid"] + 0.01
    records["bid_size"] = records["ask_size"] = 1e6
    paths = []
    for day in range(DAYS):
        records["ts_event"] = records["ts_init"] = (day + 1) * DAY_NS + np.arange(TICKS) * (DAY_NS // TICKS)
        for number in range(INSTRUMENTS):
            paths.append(tmp_path / f"{day}-{number}.ticks")
            table = [{"id": f"S{number}.SIM", "currency": "USD"}]
            with TickFileWriter(paths[-1]) as writer:
                writer.append_ticks(tickrail.TickArray.from_records(records.view(tickrail.TICK_DTYPE), table))
                writer.commit()
    assert sum(path.stat().st_size for path in paths) > 9 * ALLOWED

    command = [sys.executable, "-c", RUN, str(ALLOWED), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)
    ticks = DAYS * INSTRUMENTS * TICKS
    assert (found["ticks"], found["seen"], found["status"]) == (ticks, ticks, "complete")
    assert found["fills"] > 70
    assert found["is_held"], "the kernel would have refused to hold a fifth of the data"
    assert found["grown"] < ALLOWED / 2
