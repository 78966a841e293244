"""One live run at a time trades on an account, whatever its configuration, and whatever became of the last one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tickrail
from tickrail.config import load_config
from tickrail.errors import AccountInUse
from tickrail.orchestration.account_lock import accounts_held
from tickrail.orchestration.control import is_served

LONG_S = 60.0
CONFIG = """
[runtime]
account_dir = "ACCOUNTS"
[feeds.sim]
adapter = "published"
options = { instruments = ["EURUSD.SIM"] }
[venues.SIM]
adapter = "tickrail.testing.execution:FakeVenue"
account = "U123"
[strategies.quiet]
class = "quiet:Quiet"
"""


def project(folder: Path, accounts: Path, env: str = "live") -> Path:
    (folder / "config" / env).mkdir(parents=True)
    (folder / "config" / env / "runtime.toml").write_text(CONFIG.replace("ACCOUNTS", str(accounts)))
    (folder / "quiet.py").write_text("import tickrail\n\n\nclass Quiet(tickrail.Strategy):\n    pass\n")
    return folder


def begun(folder: Path, *settings: str, env: str = "live") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tickrail", "run", "--env", env]
    for one in settings:
        command += ["--set", one]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_socket(folder: Path, env: str, process: subprocess.Popen[str]) -> None:
    wait_for((folder / "runs" / "control" / f"{env}-{process.pid}.sock").exists, process)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refused(folder: Path, *settings: str) -> str:
    process = begun(folder, *settings)
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 78
    assert out == ""
    return err


FORKS = """
import os
import time

import tickrail


class Quiet(tickrail.Strategy):
    def on_start(self):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        with open("child", "w") as file:
            file.write(str(child))
"""


@pytest.mark.slow
def test_a_child_that_outlives_a_killed_run_keeps_neither_its_account_nor_its_sockets(tmp_path: Path) -> None:
    one = project(tmp_path / "one", tmp_path / "accounts")
    (one / "quiet.py").write_text(FORKS)
    first, second, children = begun(one, "runtime.http=127.0.0.1:0"), None, []
    try:
        assert first.stderr is not None
        address = first.stderr.readline().split()[0].removeprefix("http://")
        wait_for_socket(one, "live", first)
        wait_for(lambda: (one / "child").exists() and (one / "child").read_text() != "", first)
        children.append(int((one / "child").read_text()))
        first.send_signal(signal.SIGKILL)
        first.wait(LONG_S)
        os.kill(children[0], 0)  # it lives
        status = [sys.executable, "-m", "tickrail", "ctl", "status"]
        assert subprocess.run(status, cwd=one, capture_output=True, timeout=LONG_S, check=False).returncode == 3
        (one / "child").unlink()
        second = begun(one, f"runtime.http={address}")
        wait_for_socket(one, "live", second)
        wait_for(lambda: (one / "child").exists() and (one / "child").read_text() != "", second)
        children.append(int((one / "child").read_text()))
        (left,) = (one / "runs").glob("*.crashed.json")
        assert json.loads(left.read_text())["pid"] == first.pid
        second.send_signal(signal.SIGTERM)
        assert second.wait(LONG_S) == 0
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()


def test_a_child_that_closes_what_its_parent_is_operated_by_ends_nothing_of_it(tmp_path: Path) -> None:
    """As an interpreter does that ends in the child, which has no thread to wait for."""
    run, path = tickrail.open_live(tickrail.Strategy(), ["EURUSD.SIM"]), tmp_path / "run.sock"
    control = run._dispatcher.open_control(path, "run")
    child = os.fork()
    if child == 0:
        control.close()
        os._exit(0)
    try:
        deadline = time.monotonic() + LONG_S
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, "the child waits for a thread that it does not have"
            time.sleep(0.001)
        child = 0
        assert is_served(path)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        control.close()
    assert not path.exists()


@pytest.mark.slow
def test_a_second_process_is_refused_and_told_who_trades_until_that_is_killed(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    one, other = project(tmp_path / "one", accounts), project(tmp_path / "other", accounts)
    first = begun(one)
    second = None
    try:
        wait_for_socket(one, "live", first)
        said = (
            f"error: account SIM.U123 is traded on by another run (run live-{first.pid}, process {first.pid} on"
            f" {os.uname().nodename})\n"
            f"  hint: 'tickrail ctl --run-dir {one / 'runs'} --run live-{first.pid} shutdown' ends it; or trade on"
            " another account\n"
        )
        assert refused(other, "runtime.seed=2") == said
        assert not (other / "runs").exists(), "nothing is left of it"
        second = begun(other, "venues.SIM.account=U124")
        wait_for_socket(other, "live", second)
        second.send_signal(signal.SIGTERM)
        assert second.communicate(timeout=LONG_S)[1] == ""
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=LONG_S)
        second = begun(other)
        wait_for_socket(other, "live", second)
        second.send_signal(signal.SIGTERM)
        assert second.communicate(timeout=LONG_S)[1] == ""
        assert second.returncode == 0
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()
    assert [path.read_text() for path in sorted(accounts.iterdir())] == ["", ""]


def test_a_simulated_venue_has_no_account_and_all_or_none_are_held(tmp_path: Path) -> None:
    root = project(tmp_path / "one", tmp_path / "accounts") / "config"
    more = ("venues.SIM.adapter=simulated", "venues.OTHER.adapter=a:B", "venues.OTHER.account=A")
    both = load_config("live", root=root, environ={}, overrides=more[1:])
    simulated = load_config("live", root=root, environ={}, overrides=more[:1])
    with accounts_held(both) as held, accounts_held(simulated) as none:
        assert (held, none) == (("SIM.U123", "OTHER.A"), ())
        alone = load_config("live", root=root, environ={}, overrides=())
        with pytest.raises(AccountInUse) as caught, accounts_held(alone):
            pass
        assert caught.value.account == "SIM.U123"
        assert caught.value.holder["pid"] == os.getpid()
    with accounts_held(alone), pytest.raises(AccountInUse), accounts_held(both):
        pass
    other = load_config("live", root=root, environ={}, overrides=("venues.SIM.account=OTHER",))
    assert alone.digest == other.digest
    with accounts_held(load_config("live", root=root, environ={}, overrides=(*more, "venues.SIM.account=x"))):
        pass


def test_an_adapter_that_takes_its_account_gets_it(tmp_path: Path) -> None:
    from tickrail.orchestration.adapters import make_adapter

    class Takes:
        def __init__(self, *, name: str, account: str) -> None:
            self.account = account

        def fee_rate(self, instrument: object) -> float:
            return 0.0

    import tickrail.testing.execution as place

    place.Takes = Takes  # type: ignore[attr-defined]
    try:
        offered = {"account": "U123"}
        made = make_adapter("venue", "tickrail.testing.execution:Takes", name="A", settings={}, offered=offered)
        assert made.account == "U123"
        fake = make_adapter("venue", "tickrail.testing.execution:FakeVenue", name="A", settings={}, offered=offered)
        assert not hasattr(fake, "account")
    finally:
        del place.Takes  # type: ignore[attr-defined]
