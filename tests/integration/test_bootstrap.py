"""From configuration files to a result: the bootstrapper with strategies, services and adapters on real files."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail import Provider, RuntimeBootstrapper
from tickrail.errors import BootstrapFailed, ConfigError, ConfigProblems, IllegalTransition, ShuttingDown, WiringError

RUNTIME = """
[feeds.eurusd]
path = "data/eurusd.ticks"
[venues.SIM]
fee_rate = 0.00002
[instruments."EURUSD.SIM"]
currency = "USD"
"""
STRATEGIES = """
[strategies.second]
class = "mock_strategies:Mock"
params = { every = 10 }

[strategies.first]
class = "mock_strategies:Mock"
instruments = ["EURUSD.SIM"]
"""
MODULE = """
from tickrail import Inject, Provider, Strategy
from tickrail.ports import TelemetryPort

class Prices:
    log = []
    def __init__(self): self.seen = 0

def make():
    Prices.log.append("made")
    yield Prices()
    Prices.log.append("closed")

services = Provider().singleton(Prices, make)
calls = []

class Mock(Strategy):
    every: int = 20
    quantity: float = 1.0
    telemetry: Inject[TelemetryPort]
    def on_start(self):
        self.count = 0
        calls.append((self.name, "start"))
    def on_quote(self, tick):
        self.count += 1
        self.telemetry.metric("quotes")
        if self.count % self.every == 0:
            self.target(tick.instrument, self.quantity - self.position(tick.instrument))
    def on_stop(self):
        calls.append((self.name, "stop"))

class NeedsPrices(Strategy):
    prices: Inject[Prices]
    def on_quote(self, tick):
        self.prices.seen += 1

class Failing(Strategy):
    def on_quote(self, tick):
        raise ValueError("no such luck")
"""

BOOM = """
class Boom:
    def __init__(self, prices: Prices): raise RuntimeError("boom")

services.singleton(Boom)

class NeedsBoom(Strategy):
    prices: Inject[Prices]
    boom: Inject[Boom]
"""


def quotes(count: int = 1_000, name: str = "EURUSD.SIM") -> tickrail.TickArray:
    records = np.zeros(count, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = (np.arange(count) + 1_700_000_000) * 1_000_000_000
    records["kind"] = 1
    mid = 1.1 + 0.01 * np.sin(np.arange(count) / 100)
    records["bid"], records["ask"] = mid - 0.0001, mid + 0.0001
    records["bid_size"] = records["ask_size"] = 1e6
    return tickrail.TickArray.from_records(records, [name])


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    from tickrail._native import TickFileWriter

    for name, text in {"config/base/strategies.toml": STRATEGIES, "config/test/runtime.toml": RUNTIME}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "mock_strategies.py").write_text(MODULE)
    (tmp_path / "data").mkdir()
    with TickFileWriter(tmp_path / "data" / "eurusd.ticks") as writer:
        writer.append_ticks(quotes())
        writer.commit()
    yield tmp_path
    sys.modules.pop("mock_strategies", None)
    assert str(tmp_path) not in sys.path, "the bootstrapper left the project on the import path"


def bootstrapper(project: Path, *overrides: str, modules: tuple[Provider | str, ...] = ()) -> RuntimeBootstrapper:
    return RuntimeBootstrapper("test", root=project / "config", overrides=overrides, environ={}, modules=modules)


def problems(project: Path, *overrides: str, modules: tuple[Provider | str, ...] = ()) -> list[str]:
    before = list(sys.path)
    with pytest.raises(ConfigProblems) as caught:
        bootstrapper(project, *overrides, modules=modules).bootstrap()
    assert sys.path == before
    return [str(problem).replace(f"{project}/", "") for problem in caught.value.problems]


def test_a_run_from_files(project: Path) -> None:
    with bootstrapper(project).bootstrap() as runtime:
        result = runtime.run()
        import mock_strategies

    assert result.ok, result.errors
    assert result.ticks == 1_000
    assert [one.name for one in result.strategies] == ["second", "first"]
    assert [one.delivered for one in result.strategies] == [1_000, 1_000]
    assert result.strategy("second").orders > result.strategy("first").orders > 0
    assert result.strategy("second").fills == result.strategy("second").orders - 1  # made at the last tick
    assert set(result.pnl) == {"USD"}
    assert all(position.fees > 0 for one in result.strategies for position in one.positions)
    assert mock_strategies.calls == [("second", "start"), ("first", "start"), ("first", "stop"), ("second", "stop")]
    assert result.configuration["strategies"]["second"]["params"] == {"every": 10}


def test_the_same_files_give_the_same_digest_at_any_slice_length(project: Path) -> None:
    digests = set()
    for slice_ticks in (1, 7, 4096):
        with bootstrapper(project, f"runtime.slice_ticks={slice_ticks}").bootstrap() as runtime:
            digests.add(runtime.run().digest)
    with bootstrapper(project, "runtime.seed=2").bootstrap() as runtime:
        other = runtime.run().digest
    assert len(digests) == 1
    assert other not in digests


def test_services_are_injected_and_finalised(project: Path) -> None:
    with bootstrapper(
        project, "strategies.first.class=mock_strategies:NeedsPrices", modules=("mock_strategies:services",)
    ).bootstrap() as runtime:
        runtime.run()
        prices = runtime.dispatcher.strategies["first"].prices  # type: ignore[attr-defined]
        log = type(prices).log
        assert prices.seen == 1_000
        assert log == ["made"]
    assert log == ["made", "closed"]
    with pytest.raises(WiringError):
        runtime.container.get(type(prices))


def test_a_strategy_that_raises_stops_alone(project: Path) -> None:
    with bootstrapper(project, "strategies.first.class=mock_strategies:Failing").bootstrap() as runtime:
        result = runtime.run()
    assert not result.ok
    assert result.status == "complete"
    assert result.strategy("first").state == "FAILED"
    assert result.strategy("second").delivered == 1_000
    error = result.errors[0]
    assert (error.strategy, error.type, error.message) == ("first", "ValueError", "no such luck")
    assert error.tick is not None
    assert 'raise ValueError("no such luck")' in error.traceback


def test_a_runtime_runs_once(project: Path) -> None:
    runtime = bootstrapper(project).bootstrap()
    runtime.run()
    with pytest.raises(IllegalTransition, match="a runtime runs once"):
        runtime.run()
    runtime.close()
    runtime.close()


def test_it_runs_inside_of_an_event_loop(project: Path) -> None:
    async def main() -> tickrail.Result:
        with bootstrapper(project).bootstrap() as runtime:
            return await runtime.run_async(lambda done, total: None)

    assert asyncio.run(main()).ticks == 1_000


def test_cancelling_stops_the_run_first(project: Path) -> None:
    entered = threading.Event()

    async def main() -> None:
        with bootstrapper(project, "strategies.first.class=waiting_strategy:Waiting").bootstrap() as runtime:
            runtime.dispatcher.strategies["first"].entered = entered  # type: ignore[attr-defined]
            task = asyncio.create_task(runtime.run_async())
            await asyncio.to_thread(entered.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert runtime.dispatcher.ended

    (project / "waiting_strategy.py").write_text(
        textwrap.dedent("""
        import time
        from tickrail import Strategy
        class Waiting(Strategy):
            def on_quote(self, tick):
                self.entered.set()
                time.sleep(0.01)
        """)
    )
    asyncio.run(main())
    sys.modules.pop("waiting_strategy")


def test_every_problem_has_its_place(project: Path) -> None:
    assert problems(
        project,
        "strategies.first.class=mock_strategies:Mocc",
        "strategies.second.params={ evry = 3, quantity = '1' }",
        "strategies.third.class=mock_strategie:Mock",
        "strategies.fourth.class=math:sin",
        "feeds.eurusd.options={ spead = 2 }",
    ) == [
        "--set feeds.eurusd.options: adapter 'ticks' takes no 'spead'; it takes path, start, end",
        "--set strategies.first.class: module 'mock_strategies' has no class 'Mocc'; did you mean 'Mock'?",
        "--set strategies.third.class: no module 'mock_strategie'; did you mean 'mock_strategies'?",
        "--set strategies.fourth.class: 'math:sin' is no strategy; expected a class derived from tickrail.Strategy",
        "--set strategies.second.params: strategies.second.params.evry: Mock: unknown parameter 'evry';"
        " did you mean 'every'?",
        "--set strategies.second.params: strategies.second.params.quantity: Mock: parameter 'quantity' (float)"
        " is of type str; expected a number",
    ]


def test_a_problem_in_a_file_names_its_line(project: Path) -> None:
    (project / "config" / "test" / "more.toml").write_text('\n[strategies.second.params]\nquantity = "1"\n')
    said = problems(project)
    assert said[0].startswith("config/test/more.toml:3: strategies.second.params.quantity: ")


def test_an_instrument_that_no_feed_has(project: Path) -> None:
    said = problems(project, 'strategies.first.instruments=["EURUSD.SIM", "EURUSS.SIM"]')
    assert said == [
        "--set strategies.first.instruments: no feed has the instrument 'EURUSS.SIM'; did you mean 'EURUSD.SIM'?"
    ]


def test_a_service_that_nothing_provides(project: Path) -> None:
    said = problems(project, "strategies.first.class=mock_strategies:NeedsPrices")
    assert said == [
        "--set strategies.first.class: NeedsPrices.prices needs Prices, which nothing provides;"
        " expected a provider in runtime.modules, or in modules=[...] of the bootstrapper"
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import no_such_package", "importing 'broken' raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "importing 'broken' raised ZeroDivisionError: division by zero"),
        ("def f(:", "importing 'broken': invalid syntax"),
        ("raise SystemExit(3)", "importing 'broken' raised SystemExit: 3"),
        (
            "from tickrail import Strategy\nclass S(Strategy):\n  def on_tik(self, tick): ...",
            "importing 'broken' raised HandlerError: S.on_tik is called by nothing; did you mean 'on_tick'?",
        ),
    ],
)
def test_a_module_that_does_not_import(project: Path, body: str, said: str) -> None:
    (project / "broken.py").write_text(body)
    found = problems(project, "strategies.first.class=broken:S")
    sys.modules.pop("broken", None)
    assert said in found[0]
    assert "broken.py:" in found[0]


def test_nothing_is_left_behind_when_bootstrapping_fails(project: Path) -> None:
    (project / "mock_strategies.py").write_text(MODULE + BOOM)
    before = list(sys.path)
    with pytest.raises(BootstrapFailed, match=r"making Boom for first.boom raised RuntimeError: boom") as caught:
        bootstrapper(
            project, "strategies.first.class=mock_strategies:NeedsBoom", modules=("mock_strategies:services",)
        ).bootstrap()
    assert sys.path == before
    assert caught.value.phase == "initialise"
    assert sys.modules["mock_strategies"].Prices.log == ["made", "closed"]


def test_unknown_environment_and_missing_file(project: Path) -> None:
    with pytest.raises(ConfigError, match="unknown environment 'tset'"):
        RuntimeBootstrapper("tset", root=project / "config", environ={}).bootstrap()
    (project / "data" / "eurusd.ticks").unlink()
    assert "no such file" in problems(project)[0]
    (project / "data" / "eurusd.ticks").write_bytes(b"not ticks at all" * 100)
    assert problems(project)[0].startswith("config/test/runtime.toml:3: feeds.eurusd.path: ")


@pytest.mark.slow
def test_as_a_module(project: Path) -> None:
    command = [sys.executable, "-m", "tickrail.orchestration.bootstrapper"]
    done = subprocess.run(
        [*command, "--env", "test"], cwd=project, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "1,000 ticks" in done.stdout
    wrong = subprocess.run(
        [*command, "--env", "tset"], cwd=project, capture_output=True, text=True, check=False, timeout=60
    )
    assert wrong.returncode == 78
    assert "Traceback" not in wrong.stderr


def test_a_service_of_the_users_stands_in_for_the_runtimes_own(project: Path) -> None:
    from tickrail.ports import TelemetryPort
    from tickrail.testing import FakeTelemetry

    mine = FakeTelemetry()
    with bootstrapper(project, modules=(Provider().value(TelemetryPort, mine),)).bootstrap() as runtime:
        assert runtime.container.get(TelemetryPort) is mine
        runtime.run()
    assert sum(call.method == "metric" for call in mine.calls) == 2_000


RAISES = """
from tickrail import Inject, Strategy
from mock_strategies import Prices

class Raises(Strategy):
    def __init__(self, **params):
        super().__init__(**params)
        raise OSError("no route to the source")

class Needs(Strategy):
    prices: Inject[Prices]
    every: int = 1
    def on_quote(self, tick): ...
"""


def test_what_the_making_of_a_strategy_meets_is_said_with_its_place(project: Path) -> None:
    (project / "raising.py").write_text(RAISES)
    said = problems(
        project,
        "strategies.first.class=raising:Raises",
        "strategies.second.class=raising:Needs",
        "strategies.second.params.prices=1",
        "runtime.order_by=ts_init",
        modules=("mock_strategies:services",),
    )
    sys.modules.pop("raising")
    assert said == [
        "config/test/runtime.toml:2: feeds.eurusd: is ordered by ts_event, but runtime.order_by is ts_init",
        "--set strategies.second.params.prices: 'prices' is a service, which the container fills",
        "config/base/strategies.toml:6: strategies.first: making Raises raised OSError: no route to the source",
    ]


def test_checks_are_found_by_name_and_one_that_is_not_there_is_named(project: Path) -> None:
    (project / "checking.py").write_text("def strict(start): return f'{len(start.strategies)} strategies are too many'")
    checks = 'runtime.checks=["checking:strict", "checking:strikt", "no_such_module:check"]'
    said = problems(project, checks)
    sys.modules.pop("checking")
    assert said == [
        "--set runtime.checks: checking:strict: 2 strategies are too many",
        "--set runtime.checks: 'checking:strikt' cannot be had: module 'checking' has no attribute 'strikt'",
        "--set runtime.checks: 'no_such_module:check' cannot be had: No module named 'no_such_module'",
    ]


COMMANDS = """
from tickrail import Inject, Strategy
from tickrail.domain.commands import Command, StopStrategy
from tickrail.orchestration.command_bus import CommandBus


class Count(Command):
    number: int


class Asks(Strategy):
    bus: Inject[CommandBus]
    counted = []

    def on_start(self):
        self.count = 0
        if not self.counted:
            self.bus.register(Count, lambda command: self.counted.append(command.number))

    def on_quote(self, tick):
        self.count += 1
        self.bus.post(Count(self.count))
        if self.count == 100 and len(self.counted) < 100:
            self.restart()
        elif self.count == 50 and len(self.counted) > 100:
            self.bus.post(StopStrategy(self.name))
"""


def test_a_strategy_has_the_command_bus_of_its_run_and_so_has_the_next_object(project: Path) -> None:
    (project / "asking.py").write_text(COMMANDS)
    with bootstrapper(project, "strategies.first.class=asking:Asks", "strategies.second.enabled=false").bootstrap() as (
        runtime
    ):
        assert runtime.dispatcher.strategies["first"].bus is runtime.commands  # type: ignore[attr-defined]
        result = runtime.run()
        counted = sys.modules.pop("asking").Asks.counted
        run = weakref.ref(runtime.dispatcher)
        first = runtime.dispatcher.strategies["first"]
    # A thread of the strategy that outlives the run still has it.
    with pytest.raises(ShuttingDown, match=r"^first\.bus: the run has ended and takes no more commands"):
        first.bus.post(None)  # type: ignore[attr-defined]
    assert result.ok, result.errors
    assert counted == [*range(1, 101), *range(1, 51)]
    del runtime
    gc.collect()
    assert run() is None, "strategy and run hold each other no more once it is closed"
