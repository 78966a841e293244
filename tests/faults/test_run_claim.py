"""F57: two builds or configurations never share a run directory, where an environment asks for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tickrail import RuntimeBootstrapper
from tickrail.config import LoadedConfig, load_config
from tickrail.data import generate_file
from tickrail.errors import RunDirectoryInUse
from tickrail.orchestration.run_claim import CLAIM, claimed

Load = Callable[..., LoadedConfig]

HOLD = """
import sys
from tickrail.config import load_config
from tickrail.orchestration.run_claim import claimed
with claimed(load_config("live", root=sys.argv[1], environ={}, overrides=sys.argv[2:]), "one"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "config" / "live" / "x.toml").write_text(
        '[runtime]\nexclusive = true\n[feeds.demo]\npath = "demo.ticks"\n[venues.SIM]\n'
        '[strategies.s]\nclass = "claim_strategies:Quiet"\n'
    )
    (tmp_path / "claim_strategies.py").write_text("from tickrail import Strategy\nclass Quiet(Strategy): ...\n")
    generate_file(tmp_path / "demo.ticks", 10, seed=1)

    def load(*overrides: str) -> LoadedConfig:
        return load_config("live", root=tmp_path / "config", environ={}, overrides=overrides)

    return load


@pytest.mark.parametrize(
    ("overrides", "build", "words"),
    [
        ((), "one", "the same configuration and build"),
        (("runtime.seed=2",), "one", "another configuration"),
        ((), "two", "another build"),
        (("runtime.seed=2",), "two", "another build of another configuration"),
    ],
)
def test_a_second_run_is_refused_and_told_who_holds_it(
    load: Load, overrides: tuple[str, ...], build: str, words: str
) -> None:
    with claimed(load(), "one") as folder:
        before = (folder / CLAIM).read_bytes()
        with pytest.raises(RunDirectoryInUse) as caught, claimed(load(*overrides), build):
            pass
        assert (folder / CLAIM).read_bytes() == before
    error = caught.value
    assert error.message == (
        f"run directory '{folder}' is in use by {words} (process {os.getpid()} on {os.uname().nodename},"
        " environment 'live')"
    )
    assert error.exit_code == 78
    assert error.holder["pid"] == os.getpid()
    with claimed(load(*overrides), build):
        pass


def test_what_cannot_be_read_holds_all_the_same(load: Load) -> None:
    with claimed(load(), "one") as folder:
        for content in (b"", b"[1]", b"{"):
            (folder / CLAIM).write_bytes(content)
            with (
                pytest.raises(RunDirectoryInUse, match="another build of another configuration"),
                claimed(load(), "one"),
            ):
                pass


@pytest.mark.slow
def test_a_killed_process_holds_nothing(load: Load, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "config")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunDirectoryInUse, match=f"process {holder.pid} on "), claimed(load(), "one"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        with claimed(load(), "two") as folder:
            assert json.loads((folder / CLAIM).read_text())["build"] == "two"
    finally:
        holder.kill()
        holder.communicate()


def test_a_bootstrap_claims_where_it_is_told_to(load: Load) -> None:
    def run(loaded: LoadedConfig) -> Any:
        return RuntimeBootstrapper.of(loaded).bootstrap()

    with run(load()), pytest.raises(RunDirectoryInUse):
        run(load("runtime.seed=2"))
    with run(load("runtime.exclusive=false")), run(load("runtime.exclusive=false", "runtime.seed=2")):
        pass
    with run(load("runtime.seed=2")):
        RuntimeBootstrapper.of(load()).check()  # looks at everything and holds nothing
    sys.modules.pop("claim_strategies", None)
