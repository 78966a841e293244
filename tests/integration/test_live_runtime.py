"""Live feeds of a configured runtime: adapters that publish, and the program that does."""

from __future__ import annotations

import json
import textwrap
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from live_runs import in_thread

from tickrail import RuntimeBootstrapper, errors
from tickrail.cli import main
from tickrail.data import generate_file
from tickrail.domain import commands as c
from tickrail.orchestration import adapters
from tickrail.ports.market_data import LiveFeed

CONFIG = """
[feeds.mine]
adapter = "published"
options = { instruments = ["A.SIM", "B.SIM"], policy = "reject", capacity = 64 }
[venues.SIM]
[strategies.counter]
class = "live_counter:Counter"
instruments = ["A.SIM"]
"""
MODULE = """
from tickrail import Strategy

class Counter(Strategy):
    def on_start(self):
        self.count = 0
    def on_quote(self, tick):
        self.count += 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "config" / "live" / "runtime.toml").write_text(CONFIG)
    (tmp_path / "live_counter.py").write_text(textwrap.dedent(MODULE))
    return tmp_path


def bootstrapped(project: Path, *overrides: str) -> Any:
    return RuntimeBootstrapper("live", root=project / "config", overrides=overrides, environ={}).bootstrap()


def test_a_program_publishes_into_the_feeds_of_its_configuration_and_new_ones(project: Path) -> None:
    with bootstrapped(project) as runtime:
        mine = runtime.feed("mine")
        assert (mine.policy, mine.capacity) == ("reject", 64)
        other = runtime.feed("other", policy="block", capacity=128)
        with pytest.raises(errors.FeedError, match="open already"):
            runtime.feed("mine", policy="block")

        def produce() -> None:
            with mine.publisher() as first, other.publisher() as second:
                for _ in range(10):
                    first.publish_quote("A.SIM", 1.0, 1.1)
                    second.publish_quote("B.SIM", 1.0, 1.1)
            runtime.seal()

        joined = in_thread(produce)
        result = runtime.run()
        joined()
    assert (result.status, result.ticks, result.strategies[0].delivered) == ("complete", 20, 10)
    assert result.stats["ticks"] == 20


class Ticking:
    """An adapter with a thread of its own."""

    made: ClassVar[list[Ticking]] = []

    def __init__(self, *, name: str, rate: int = 100) -> None:
        self.name, self.rate = name, rate
        self.instruments = ("A.SIM",)
        self.settings = {"policy": "block", "capacity": 16}
        self.thread: threading.Thread | None = None
        self.made.append(self)

    def start(self, feed: LiveFeed) -> None:
        def body() -> None:
            with feed.publisher() as publisher:
                for _ in range(self.rate):
                    publisher.publish_quote("A.SIM", 1.0, 1.1)

        self.thread = threading.Thread(target=body)
        self.thread.start()

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join()
            self.thread = None


def test_an_adapter_publishes_from_its_own_thread_once_the_run_begins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(adapters.OURS["feed"], "ticking", f"{__name__}:Ticking")
    table = '[feeds.mine]\nadapter = "ticking"\noptions = { rate = 250 }\n'
    (project / "config" / "live" / "runtime.toml").write_text(table + CONFIG[CONFIG.index("[venues") :])
    with bootstrapped(project) as runtime:
        (adapter,) = Ticking.made
        assert adapter.thread is None, "nothing publishes before the run begins"
        threading.Timer(0.3, runtime.seal).start()
        result = runtime.run()
    assert (result.status, result.ticks) == ("complete", 250)
    assert adapter.thread is None, "closed with the runtime"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('feeds.mine.options={ instruments = ["A.SIM"], policy = "hope" }', "policy is"),
        ('feeds.mine.options={ instruments = ["A.SIM"], capacity = 3 }', "power of two"),
        ('feeds.mine.options={ instruments = ["A.SIM"], colour = "red" }', "takes no 'colour'"),
    ],
)
def test_a_feed_that_cannot_be_opened_says_where_it_was_set(project: Path, override: str, message: str) -> None:
    with pytest.raises(errors.ConfigError, match=message) as caught:
        bootstrapped(project, override)
    assert "feeds.mine" in str(caught.value)


HALTING = """
from tickrail import Strategy

class Buyer(Strategy):
    def on_quote(self, tick):
        self.buy(tick.instrument, 1.0)
"""
RECORDED = """
[runtime]
run_dir = "runs"
[feeds.mine]
path = "sim.ticks"
[venues.SIM]
[limits.all]
max_orders_per_s = 50
[strategies.counter]
class = "halting:Buyer"
"""


@pytest.fixture
def halted(project: Path) -> Path:
    """A project whose last run was halted, by a command of its own and without a control socket."""
    (project / "halting.py").write_text(HALTING)
    (project / "config" / "live" / "runtime.toml").write_text(RECORDED)
    generate_file(project / "sim.ticks", 10, seed=1)
    with bootstrapped(project) as runtime:
        assert not (project / "runs").exists(), "who changes nothing leaves nothing"
        runtime.commands.submit(c.Halt("wrong prices"))
        runtime.commands.submit(c.SetLimits(table="all", limits={"max_orders_per_s": 7.0}))
        result = runtime.run()
    assert (len(result.orders), len(result.fills)) == (10, 0)
    kept = project / "runs" / "control" / "live.trading"
    assert "state HALTED\n" in kept.read_text()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    return project


def test_a_runtime_made_by_a_program_stays_halted_and_says_so(halted: Path, caplog: pytest.LogCaptureFixture) -> None:
    with bootstrapped(halted) as runtime:
        answer = runtime.commands.submit(c.Snapshot())
        result = runtime.run()
    assert (answer.result()["trading"], answer.result()["reason"]) == ("HALTED", "wrong prices")
    assert answer.result()["limits"]["all"] == {"max_orders_per_s": 7.0}
    assert (len(result.orders), len(result.fills)) == (10, 0)
    said = [record.getMessage() for record in caplog.records if record.name == "tickrail.trading"]
    assert said == [
        "trading is HALTED, as the last process left it: wrong prices",
        "limits.all: max_orders_per_s is 7, as an operator has set it in an earlier run",
    ]


@pytest.mark.parametrize("control", ["--control", "--no-control"])
def test_a_run_stays_halted_whoever_may_operate_it(
    halted: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, control: str
) -> None:
    monkeypatch.chdir(halted)
    done = CliRunner().invoke(main, ["run", "--env", "live", control, "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["fills"] == 0
    assert "trading is HALTED, as the last process left it: wrong prices" in caplog.text
    assert "state HALTED\n" in (halted / "runs" / "control" / "live.trading").read_text()


@pytest.mark.parametrize("content", [b"tickrail trading 1\nstate HAL", b"\xff\xfe\x00", None])
def test_a_state_of_trading_that_cannot_be_read_starts_nothing(
    halted: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """By an exit code with which nobody starts it again, and ``check`` tells it before."""
    file = halted / "runs" / "control" / "live.trading"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(errors.TradingStateError, match="no trading state of this version"):
        bootstrapped(halted)
    monkeypatch.chdir(halted)
    said = f"{file} is no trading state of this version; look at it, and remove it to trade again"
    done = CliRunner().invoke(main, ["run", "--env", "live"])
    assert done.exit_code == 78
    assert done.stderr.startswith(f"error: {said}\n  hint: it keeps a halt, its reason and changed limits")
    checked = CliRunner().invoke(main, ["check", "--env", "live"])
    assert checked.exit_code == 78
    assert said.replace(" is", ": is", 1) in checked.stderr


def test_a_backtest_begins_with_nothing_that_was_left(halted: Path) -> None:
    """Its result depends on its inputs alone."""
    (halted / "config" / "live").rename(halted / "config" / "backtest")
    (halted / "runs" / "control" / "live.trading").rename(halted / "runs" / "control" / "backtest.trading")
    with RuntimeBootstrapper("backtest", root=halted / "config", environ={}).bootstrap() as runtime:
        assert len(runtime.run().fills) > 0
