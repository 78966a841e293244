"""Case 18: a run on a thread of somebody else's process, or in a notebook: the signals stay theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ended_runs import LEFT, LOADED, Ended, ended, files
from shutdown_project import wait

HEAD = """
import asyncio
import json
import signal
import threading
from pathlib import Path

from tickrail import RuntimeBootstrapper
from tickrail.report.shutdown import ShutdownReport

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handlers():
    return [signal.getsignal(one) for one in SIGNALS], signal.set_wakeup_fd(-1)


def booted():
    Path("running").unlink(missing_ok=True)
    return RuntimeBootstrapper("live", root="config", overrides=OVERRIDES).bootstrap()


OVERRIDES = ["strategies.one.class=told:Ticking", "strategies.one.params.how=orders"]
"""
THREAD = """
heard = []


def mine(number, frame):
    heard.append(number)
    runtime.request_stop()


for one in SIGNALS:
    signal.signal(one, mine)
results = []
with booted() as runtime:
    working = threading.Thread(target=lambda: results.append(runtime.run()))
    working.start()
    while not Path("running").exists():
        working.join(0.01)
    during = handlers()
    Path("ready").touch()
    working.join()
assert heard == [signal.SIGTERM], heard
assert during == handlers() == ([mine, mine], -1), during
(result,) = results
code = 7
"""
NOTEBOOK = """
async def cell():
    with booted() as runtime:
        working = asyncio.ensure_future(runtime.run_async())
        while not Path("running").exists():
            await asyncio.sleep(0.01)
        runtime.request_stop()
        first = await working
    with booted() as runtime:
        runtime.lives.listen(lambda change: during.append(handlers()))
        threading.Thread(target=ready).start()
        return first, runtime.run()


def ready():
    while not Path("running").exists():
        pass
    Path("ready").touch()


before, during = handlers(), []
loop = asyncio.new_event_loop()  # as a kernel has one, which installs nothing
first, result = loop.run_until_complete(cell())
loop.close()
assert first.status == "stopped", first
assert before == handlers() == ([signal.SIG_DFL, signal.default_int_handler], -1), before
assert during and all(one == before for one in during), during
code = 0
"""
TAIL = """
print(json.dumps({**result.to_dict(), "shutdown": ShutdownReport.of(result).to_dict()}))
"""

pytestmark = pytest.mark.slow


def embedded(project: Path, body: str, number: signal.Signals) -> tuple[Ended, list[str]]:
    """What becomes of a script that gets the signal while its run goes on."""
    (project / "script.py").write_text(LOADED + HEAD + body + TAIL + LEFT + "\nraise SystemExit(code)\n")
    before = files(project)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    variables = {**os.environ, "TMPDIR": str(project)}
    process = subprocess.Popen([sys.executable, "script.py"], cwd=project, text=True, env=variables, **pipes)
    wait(lambda: (project / "ready").exists() or process.poll() is not None)
    sent = time.monotonic()
    process.send_signal(number)
    found = ended(process, project, since=sent, before=before)
    return found, (project / "log").read_text().splitlines()


def test_on_a_thread_signals_stay_those_of_the_process_and_a_stop_is_a_call(project: Path) -> None:
    end, log = embedded(project, THREAD, signal.SIGTERM)
    assert (end.code, end.err) == (7, "")
    end.held("shutdown_18_thread", within_s=2.0)
    assert log[-2:] == ["one:CANCELED", "one:stop"]


def test_in_a_notebook_ctrl_c_ends_the_run_in_order_and_the_kernel_goes_on(project: Path) -> None:
    end, log = embedded(project, NOTEBOOK, signal.SIGINT)
    assert (end.code, end.err) == (0, "")
    end.held("shutdown_18_notebook", within_s=2.0)
    assert log[-2:] == ["one:CANCELED", "one:stop"]
    assert log.count("one:stop") == 2, "each run once"
