"""``/livez``, ``/readyz`` and ``/metrics`` of real processes, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tickrail.cli.ctl import ask

STRATEGIES = """
import os
import re
import time

import tickrail


class Watched(tickrail.Strategy):
    how: str = ""

    def on_start(self):
        self.count, self.is_over = 0, False
        if self.how == "slow_start":
            while not os.path.exists("go"):
                time.sleep(0.01)

    def on_tick(self, tick):
        self.count += 1
        if self.how == "native" and self.count == 30:
            re.match("(a+)+$", "a" * 60 + "b")  # native code that gives the interpreter to nobody

        if self.how == "beside" and self.count == 30:
            self.spawn(self.keeps(), lambda result: None)

    async def keeps(self):
        while not self.is_over:
            try:
                time.sleep(0.01)
            except Exception:
                pass

    def on_stop(self):
        self.is_over = True
        if self.how == "slow_stop":
            while not os.path.exists("go"):
                time.sleep(0.01)
"""
CONFIG = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
speed = 1.0
[venues.SIM]
adapter = "simulated"
[strategies.watched]
class = "watched:Watched"
"""
LONG_S = 60.0

pytestmark = pytest.mark.slow


class Process:
    """A run that serves probes."""

    def __init__(self, folder: Path, how: str = "", *settings: str) -> None:
        (folder / "watched.py").write_text(STRATEGIES)
        (folder / "config" / "paper").mkdir(parents=True)
        (folder / "config" / "paper" / "runtime.toml").write_text(CONFIG)
        generate = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
        subprocess.run([*generate, "--ticks", "200000"], cwd=folder, check=True, capture_output=True, timeout=LONG_S)
        command = [sys.executable, "-m", "tickrail", "run", "--env", "paper", "--json", "--http", "0"]
        for one in (f"strategies.watched.params.how={how}", *settings):
            command += ["--set", one]
        self.folder = folder
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=folder, text=True, **pipes)
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said.endswith("has /livez, /readyz and /metrics\n"), said + self.process.stderr.read()
        self.address = said.split()[0]

    def ask(self, page: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(self.address + page, timeout=LONG_S) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def until(self, page: str, right: Callable[[int, Any], bool]) -> tuple[int, Any]:
        deadline = time.monotonic() + LONG_S
        while not right(*(found := self.ask(page))):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def ctl(self, *words: str) -> None:
        command = [sys.executable, "-m", "tickrail", "ctl", *words]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=LONG_S)

    def end(self) -> tuple[int, str]:
        try:
            _, err = self.process.communicate(timeout=LONG_S)
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, err


def test_ready_follows_the_run_from_its_start_to_its_end(tmp_path: Path) -> None:
    run = Process(tmp_path, "slow_start")
    try:
        assert run.until("/readyz", lambda code, _: code == 503)[1]["reason"] == "starting"
        assert run.ask("/livez")[0] == 200
        (tmp_path / "go").touch()
        code, said = run.until("/readyz", lambda code, _: code == 200)
        assert said == {"ok": True, "run": f"paper-{run.process.pid}", "state": "running", "trading": "ACTIVE"}
        assert code == 200
        code, metrics = run.until("/metrics", lambda _, text: 'state="RUNNING",strategy="watched"' in text)
        assert code == 200
        assert "\ntickrail_ticks_total " in metrics
        run.ctl("halt", "--reason", "a test")
        code, said = run.ask("/readyz")
        assert (code, said["reason"], said["trading"]) == (503, "halted", "HALTED")
        assert run.ask("/livez")[0] == 200, "a process that is begun anew would be halted too"
        run.ctl("trade")
        assert run.ask("/readyz")[0] == 200
    finally:
        run.process.send_signal(signal.SIGTERM)
        code, err = run.end()
    assert (code, err) == (0, "")
    with pytest.raises(urllib.error.URLError):
        run.ask("/livez")


def test_who_is_told_to_stop_is_ready_no_more_but_lives(tmp_path: Path) -> None:
    run = Process(tmp_path, "slow_stop")
    try:
        run.until("/readyz", lambda code, _: code == 200)
        run.process.send_signal(signal.SIGTERM)
        code, said = run.until("/readyz", lambda code, _: code == 503)
        assert said["reason"] == "stopping"
        assert run.ask("/livez")[0] == 200
        (tmp_path / "go").touch()
    finally:
        code, err = run.end()
    assert (code, err) == (0, "")


def test_a_loop_that_hangs_in_native_code_lives_no_more(tmp_path: Path) -> None:
    run = Process(tmp_path, "native", "runtime.handler_deadline_ns=2_000_000_000")
    try:
        code, said = run.until("/livez", lambda code, _: code == 503)
        assert said["reason"] == "hangs"
        assert said["message"].startswith("strategy watched has not returned from on_tick for "), said
        assert run.ask("/readyz")[1]["reason"] == "hangs"
    finally:
        code, err = run.end()
    assert code == 70
    assert "strategy watched has not returned from on_tick" in err


def test_a_coroutine_that_keeps_the_io_thread_is_told_everywhere_and_stops_the_run_if_it_must(tmp_path: Path) -> None:
    run = Process(tmp_path, "beside", "runtime.handler_deadline_ns=2_500_000_000")
    try:
        code, said = run.until("/livez", lambda code, _: code == 503)
        assert said["reason"] == "hangs"
        assert said["message"].startswith("a coroutine on the I/O thread has not returned for "), said
        while (status := ask(tmp_path / "runs", None, LONG_S, "status", {})["result"])["io_thread"]["stuck_in"] is None:
            assert status["strategies"]["watched"]["state"] == "RUNNING", "the loop goes on"
        assert status["io_thread"]["stuck_in"] == "the coroutine Watched.keeps"
    finally:
        code, err = run.end()
    assert code == 70, "though it came to its end: nobody asked for that"
    assert "the coroutine Watched.keeps, on the I/O thread, has not returned after" in err
    assert "and cannot be broken off; the run is stopped" in err


def test_whoever_is_silent_keeps_nobody_and_the_end_waits_for_nobody(tmp_path: Path) -> None:
    run = Process(tmp_path)
    host, port = run.address.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port)), timeout=LONG_S) for _ in range(10)]
    try:
        silent[0].sendall(b"GET /li")
        run.until("/readyz", lambda code, _: code == 200)
        stopped = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
    finally:
        code, err = run.end()
    assert (code, err) == (0, "")
    assert time.monotonic() - stopped < 20
    for one in silent:
        one.close()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((host, int(port)))


def test_an_address_in_use_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config" / "paper").mkdir(parents=True)
    (tmp_path / "watched.py").write_text(STRATEGIES)
    idle = '\n[feeds.sim]\nadapter = "published"\noptions = { instruments = ["EURUSD.SIM"] }\n'
    text = CONFIG.replace(CONFIG[: CONFIG.index("[venues")], idle)
    (tmp_path / "config" / "paper" / "runtime.toml").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tickrail", "run", "--env", "paper", "--http", port]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LONG_S, env={**os.environ})
    assert done.returncode == 78
    assert f"nothing can listen at 127.0.0.1:{port}: Address already in use" in done.stderr
