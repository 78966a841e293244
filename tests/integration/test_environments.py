"""A mock strategy from ``config/`` in all three environments: order, wiring, graph, whatever the hash seed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tickrail
from tickrail import RuntimeBootstrapper, testing
from tickrail._native import TickFileWriter
from tickrail.errors import ConfigProblems

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

ROOT = Path(__file__).parents[2]
SHELL = {**os.environ, "PYTHONPATH": str(ROOT)}
ENVIRONMENTS = ("backtest", "paper", "live")
MODULE = """
    from pydantic import SecretStr
    from tickrail import Inject, Provider, Strategy
    from tickrail.ports import TelemetryPort

    class Prices:
        pass

    services = Provider().singleton(Prices)
    calls = []

    class Mock(Strategy):
        size: float = 1.0
        pin: SecretStr = SecretStr("")
        prices: Inject[Prices]

        def on_start(self):
            calls.append(f"start {self.name}")
            self.started_ns = self.clock.now_ns

        def on_tick(self, tick):
            self.telemetry.metric("ticks")

        def on_stop(self):
            calls.append(f"stop {self.name}")
"""
STRATEGIES = """
    [runtime]
    modules = ["mock_module:services"]
    [strategies.hedge]
    class = "mock_module:Mock"
    after = ["main"]
    [strategies.main]
    class = "mock_module:Mock"
    [strategies.ema-eurusd]
    enabled = false
"""


@pytest.fixture
def at_venue(tmp_path: Path) -> Iterator[list[str]]:
    """The venue of ``config/live``, a process of its own as its head says, and what ``--set`` needs for it."""
    arguments = [sys.executable, "-m", "tickrail.testing.loopback_venue", str(tmp_path / "orders.jsonl")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as venue:
        assert venue.stdout is not None and venue.stdin is not None
        address = venue.stdout.readline().strip()
        # Tests that run beside this one trade on an account of this name too.
        accounts = f"runtime.account_dir={tmp_path / 'accounts'}"
        yield [f"venues.SIM.options.address={address}", "feeds.demo.speed=max", accounts]
        venue.stdin.close()


def made(env: str, project: Path, at_venue: list[str]) -> RuntimeBootstrapper:
    """As from the shell, in ``project``."""
    return RuntimeBootstrapper(env, root=project / "config", environ={}, overrides=at_venue if env == "live" else ())


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "base" / "zz_mock.toml").write_text(textwrap.dedent(STRATEGIES))
    (tmp_path / "mock_module.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "data").mkdir()
    with TickFileWriter(tmp_path / "data" / "demo.ticks") as writer:
        writer.append_ticks(testing.quotes(2_000))
        writer.commit()
    yield tmp_path
    sys.modules.pop("mock_module", None)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_it_starts_and_stops_in_order_with_its_services(project: Path, at_venue: list[str], env: str) -> None:
    before = set(threading.enumerate())
    with made(env, project, at_venue).bootstrap() as runtime:
        import mock_module

        assert runtime.start_order == ("main", "hedge")
        strategies = runtime.dispatcher.strategies
        shared = runtime.container.get(mock_module.Prices)
        assert all(one.prices is shared for one in strategies.values())  # type: ignore[attr-defined]
        assert list(runtime.phases.took_ns) == [
            *("build container", "construct strategies", "validate ports and graph", "pre-start checks", "initialise"),
        ]
        result = runtime.run()
        assert strategies["main"].telemetry.counters["ticks"] == 2 * result.ticks  # type: ignore[attr-defined]
    assert result.ok, result.errors
    assert result.ticks == 2_000
    assert mock_module.calls == ["start main", "start hedge", "stop hedge", "stop main"]
    assert set(threading.enumerate()) <= before, "a thread was left running"


@pytest.mark.parametrize("paper", ["paper", "paper-binance"])
def test_what_needs_a_network_is_checked_without_one(project: Path, paper: str) -> None:
    """``tickrail check --env paper-binance``: everything short of connecting."""
    pytest.importorskip("picows")
    command = [sys.executable, "-m", "tickrail", "check", "--env", paper]
    said = subprocess.run(command, cwd=project, env=SHELL, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    parts = RuntimeBootstrapper(paper, root=project / "config", environ={}).check().parts
    feeds = {(part.name, part.what) for part in parts if part.kind in ("feed", "venue")}
    expected = {("demo", "ticks"), ("SIM", "simulated")}
    assert feeds == (expected if paper == "paper" else {("binance", "binance"), ("BINANCE", "simulated")})


def test_the_same_strategy_trades_at_the_venue_outside(project: Path, at_venue: list[str]) -> None:
    """``tickrail run --env live`` with the strategy of ``config/base``: what the venue keeps is what the run says."""
    (project / "config" / "base" / "zz_mock.toml").unlink()
    with TickFileWriter(project / "data" / "demo.ticks") as writer:
        writer.append_ticks(tickrail.data.generate_ticks(3_000, seed=7, instruments=["EURUSD.SIM"]))
        writer.commit()
    settings = [word for one in at_venue for word in ("--set", one)]
    said = subprocess.run(
        [sys.executable, "-m", "tickrail", "run", "--env", "live", "--json", "--no-control", *settings],
        cwd=project,
        env=SHELL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert said.returncode == 0, said.stderr
    entries = [json.loads(line) for line in (project / "orders.jsonl").read_text().splitlines()]
    filled = [one for one in entries if "fill" in one]
    result = json.loads(said.stdout)
    assert result["fills"] == len(filled) > 0
    assert {one["account"] for one in entries if "side" in one} == {"rehearsal"}


VENUES = {"backtest": "simulated", "paper": "simulated", "live": "loopback"}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_graph_says_what_is_started_and_what_each_part_needs(project: Path, at_venue: list[str], env: str) -> None:
    wiring = RuntimeBootstrapper(env, root=project / "config", environ={}).check()
    assert [(part.kind, part.name, part.what, part.scope, part.needs) for part in wiring.parts] == [
        ("feed", "demo", "ticks", "RUNTIME", ()),
        ("venue", "SIM", VENUES[env], "RUNTIME", ()),
        ("service", "Prices", "Prices", "RUNTIME", ()),
        ("strategy", "main", "mock_module:Mock", "STRATEGY", ("Prices",)),
        ("strategy", "hedge", "mock_module:Mock", "STRATEGY", ("Prices",)),
    ]
    assert wiring.parts[2].place == "mock_module.py:9"
    with made(env, project, at_venue).bootstrap() as runtime:
        assert runtime.graph_hash == wiring.digest
        assert runtime.start_order == tuple(part.name for part in wiring.parts if part.kind == "strategy")


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_one_parameter_changed_in_each_layer_reaches_the_strategy_and_shows_its_origin(project: Path, env: str) -> None:
    """Each layer over those below it: the strategy that is started has its value, and all of them are its history."""
    environ: dict[str, str] = {}
    overrides: list[str] = []

    def in_file(folder: str, size: float) -> None:
        text = f"[strategies.main.params]\nsize = {size}\n"
        (project / "config" / folder / "zzz_size.toml").write_text(text)

    layers = {
        "config/base/zzz_size.toml:2": lambda: in_file("base", 2.0),
        f"config/{env}/zzz_size.toml:2": lambda: in_file(env, 3.0),
        "env TICKRAIL_STRATEGIES__MAIN__SIZE": lambda: environ.update({"TICKRAIL_STRATEGIES__MAIN__SIZE": "4.0"}),
        "--set strategies.main.params.size": lambda: overrides.append("strategies.main.size=5.0"),
    }
    history: list[str] = []
    for number, (origin, change) in enumerate(layers.items()):
        change()
        history.insert(0, origin)
        made = RuntimeBootstrapper(env, root=project / "config", environ=environ, overrides=overrides)
        with made.bootstrap() as runtime:
            strategies = runtime.dispatcher.strategies
            assert strategies["main"].size == number + 2.0  # type: ignore[attr-defined]
            assert strategies["hedge"].size == 1.0, "another strategy's stays"  # type: ignore[attr-defined]
            said = [str(one) for one in runtime.loaded.origin("strategies.main.params.size").history()]
        assert [one.replace(f"{project}/", "") for one in said] == history


def test_the_secrets_directory_is_a_layer_too_for_parameters_that_are_secrets(project: Path) -> None:
    """A parameter that decides results is none: its value would be missing in the digest of the configuration."""
    folder = project / "secrets"
    folder.mkdir()
    (folder / "strategies__main__pin").write_text("1234\n")
    booted = RuntimeBootstrapper("paper", root=project / "config", environ={}, secrets_dir=folder)
    with booted.bootstrap() as runtime:
        strategies = runtime.dispatcher.strategies
        assert strategies["main"].pin.get_secret_value() == "1234"  # type: ignore[attr-defined]
        assert strategies["hedge"].pin.get_secret_value() == "", "another strategy's stays"  # type: ignore[attr-defined]
        origin = runtime.loaded.origin("strategies.main.params.pin")
        assert str(origin) == f"secret {folder}/strategies__main__pin"
    (folder / "strategies__main__size").write_text("4.0\n")
    with pytest.raises(ConfigProblems) as caught:
        RuntimeBootstrapper("paper", root=project / "config", environ={}, secrets_dir=folder).bootstrap()
    assert [str(one).replace(f"{project}/", "") for one in caught.value.problems] == [
        "secret secrets/strategies__main__size: strategies.main.params.size: Mock: parameter 'size' (float) is of type"
        " SecretStr; expected the annotation SecretStr (of pydantic): the value is a secret"
    ]


def test_order_and_graph_are_the_same_under_any_hash_seed(project: Path, at_venue: list[str]) -> None:
    program = (
        "from tickrail import RuntimeBootstrapper\n"
        f"for env in {ENVIRONMENTS!r}:\n"
        f"    overrides = {at_venue!r} if env == 'live' else ()\n"
        "    with RuntimeBootstrapper(env, environ={}, overrides=overrides).bootstrap() as runtime:\n"
        "        digest = runtime.run().digest\n"
        # What a live run took together depends on when it arrived.
        "        print(env, runtime.start_order, runtime.graph_hash, env != 'backtest' or digest)\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=project,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for seed in ("0", "1", "77")
    }
    (one,) = said
    assert len(one.splitlines()) == 3


def test_two_runtimes_of_one_process_share_nothing(project: Path) -> None:
    root = project / "config"
    with (
        RuntimeBootstrapper("backtest", root=root, environ={}).bootstrap() as first,
        RuntimeBootstrapper("paper", root=root, environ={}).bootstrap() as second,
    ):
        results: dict[str, tickrail.Result] = {}
        threads = [
            threading.Thread(target=lambda name=name, one=one: results.update({name: one.run()}))
            for name, one in {"first": first, "second": second}.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        services = [one.dispatcher.strategies["main"].prices for one in (first, second)]  # type: ignore[attr-defined]
    assert services[0] is not services[1]
    assert {name: result.ticks for name, result in results.items()} == {"first": 2_000, "second": 2_000}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_a_thread_boots_runs_and_closes_one(project: Path, at_venue: list[str], env: str) -> None:
    before = set(threading.enumerate())
    found: list[tuple[tuple[str, ...], tickrail.Result]] = []

    def work() -> None:
        with made(env, project, at_venue).bootstrap() as runtime:
            found.append((runtime.start_order, runtime.run()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    ((order, result),) = found
    assert (order, result.ok, result.ticks) == (("main", "hedge"), True, 2_000)
    assert set(threading.enumerate()) <= before, "a thread was left running"


@pytest.mark.parametrize("env", ["backtest", "paper"])
def test_a_cell_of_a_notebook_boots_and_runs_it_within_its_running_loop(project: Path, env: str) -> None:
    """Cells are coroutines of a loop that runs: plain calls keep it, ``run_async`` lets it go on."""

    def booted() -> tickrail.Runtime:
        return RuntimeBootstrapper(env, root=project / "config", environ={}).bootstrap()

    heard: list[bool] = []

    async def cells() -> tuple[tickrail.Result, tickrail.Result]:
        loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def hold(change: object) -> None:
            loop.call_soon_threadsafe(begun.set)
            heard.append(go_on.wait(30))

        with booted() as runtime:
            plain = runtime.run()
        with booted() as runtime:
            runtime.lives.listen(hold)
            running = asyncio.ensure_future(runtime.run_async())
            await begun.wait()
            go_on.set()
            return plain, await running

    plain, awaited = asyncio.run(cells())
    assert heard, "strategies were started"
    assert all(heard), "the loop of the notebook stood still"
    assert plain.ok
    assert awaited.ok
    if env == "backtest":  # the clock of paper is that of the wall
        assert plain.digest == awaited.digest, "the same run, whoever waits for it"
    assert plain.ticks == 2_000
