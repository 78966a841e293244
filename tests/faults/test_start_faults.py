"""What may go wrong while a runtime starts: it is said in words, with its phase, and nothing is left behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tickrail import Provider
from tickrail.errors import BootstrapFailed, ConfigProblems, RunFailed, TickrailError
from tickrail.orchestration import guarded_import
from tickrail.orchestration.checks import PreStart
from tickrail.testing import boot

MODULE = """
    import threading
    from tickrail import Inject, Strategy

    calls = []

    class Fine(Strategy):
        def on_start(self): calls.append(f"start {self.name}")
        def on_tick(self, tick): calls.append("tick")
        def on_stop(self): calls.append(f"stop {self.name}")

    class FailsToStart(Fine):
        def on_start(self): raise ValueError("no such luck")

    class Demanding(Fine):
        requires = frozenset({"market", "stop", "magic"})
"""


LOG: list[str] = []


class Store: ...


def make_store() -> Iterator[Store]:
    LOG.append("store made")
    yield Store()
    LOG.append("store closed")


def make_broken(store: Store) -> object:
    raise OSError("disk")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fault_module.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fault_module", raising=False)
    return tmp_path


def tables(**strategies: str) -> dict[str, object]:
    return {"strategies": {name: {"class": f"fault_module:{cls}"} for name, cls in strategies.items()}}


def refused(folder: Path, configuration: object, **more: object) -> TickrailError:
    before, threads = list(sys.path), set(threading.enumerate())
    with pytest.raises(TickrailError) as caught, boot(configuration, folder=folder, **more) as runtime:  # type: ignore[arg-type]
        runtime.run()
    assert sys.path == before
    assert set(threading.enumerate()) <= threads, "a thread was left running"
    return caught.value


def test_a_start_is_all_or_nothing(project: Path) -> None:
    error = refused(project, tables(one="Fine", two="FailsToStart", three="Fine"))
    assert isinstance(error, RunFailed)
    assert (error.phase, error.exit_code) == ("start", 1)
    assert error.message == (
        "strategy two: on_start raised ValueError: no such luck;"
        " those that had started were stopped again, the last first"
    )
    assert sys.modules["fault_module"].calls == ["start one", "stop one"]
    states = {one.name: one.state for one in error.result.strategies}  # type: ignore[attr-defined]
    assert states == {"one": "STOPPED", "two": "FAILED", "three": "STOPPED"}


def test_a_factory_that_raises_names_who_wanted_it_and_undoes_the_rest(project: Path) -> None:
    LOG.clear()
    (project / "fault_module.py").write_text(
        textwrap.dedent(MODULE)
        + "\nclass Broken: ...\nclass Needs(Strategy):\n    broken: Inject[Broken]\n    def on_tick(self, t): ...\n"
    )
    import fault_module

    services = Provider().singleton(Store, make_store).singleton(fault_module.Broken, make_broken)
    error = refused(project, tables(one="Needs"), modules=[services])
    assert isinstance(error, BootstrapFailed)
    assert error.message == "making Broken for one.broken raised OSError: disk"
    assert error.phase == "initialise"
    assert LOG == ["store made", "store closed"]


def adapter(name: str) -> dict[str, object]:
    return {"feeds": {"x": {"adapter": name}}, "runtime": {"adapter_prefixes": ["plugin"]}, **tables(one="Fine")}


def test_plugins_that_do_not_import(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "plugin_raises.py").write_text("1 / 0")
    error = refused(project, {**adapter("plugin_raises:Feed"), "runtime": {"adapter_prefixes": ["plugin_raises"]}})
    assert isinstance(error, ConfigProblems)
    assert error.exit_code == 78
    assert error.phase == "validate ports and graph"
    assert "cannot be imported: ZeroDivisionError: division by zero" in error.message
    (project / "elsewhere.py").write_text("raise SystemExit('it was run')")
    error = refused(project, adapter("elsewhere:Feed"))
    assert "module 'elsewhere' is not on the list of places that adapters come from (there: plugin)" in error.message
    assert "elsewhere" not in sys.modules


def test_a_plugin_whose_import_hangs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(sys, "release_of_plugin", release, raising=False)
    (project / "plugin_hangs.py").write_text("import sys\nsys.release_of_plugin.wait(60)\n")
    with pytest.raises(guarded_import.ImportHangs, match=r"importing 'plugin_hangs' has not returned within 0.05 s"):
        guarded_import.guarded_import("plugin_hangs", 0.05)
    release.set()


def test_a_plugin_that_starts_threads_is_named(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "plugin").mkdir()
    (project / "plugin" / "__init__.py").write_text(
        "import sys, threading\n"
        "sys.plugin_over = threading.Event()\n"
        "threading.Thread(target=sys.plugin_over.wait, args=(60,), name='eager', daemon=True).start()\n"
        "from tickrail.testing.market_data import FakeMarketData as Feed\n"
    )
    with caplog.at_level(logging.WARNING), boot(adapter("plugin:Feed"), folder=project) as runtime:
        assert runtime.run().ok
    assert "importing adapter 'plugin:Feed' has started threads: eager" in caplog.text
    sys.plugin_over.set()  # type: ignore[attr-defined]
    sys.modules.pop("plugin")


def test_capabilities_that_lack_are_all_said_before_the_start(project: Path) -> None:
    configuration = {**tables(one="Demanding"), "venues": {"SIM": {"adapter": "simulated"}}}
    error = refused(project, configuration)
    assert error.phase == "validate ports and graph"
    assert "adapter 'simulated' cannot do 'magic', which strategy one requires" in error.message


def test_checks_of_the_user_refuse_the_start(project: Path) -> None:
    def quiet(start: PreStart) -> None:
        assert list(start.strategies) == ["one"]
        assert start.instruments["EURUSD.SIM"]["id"] == "EURUSD.SIM"

    def strict(start: PreStart) -> list[str]:
        return ["no limits are set", "the account is not reconciled"]

    def broken(start: PreStart) -> None:
        raise LookupError("account")

    from tickrail import RuntimeBootstrapper
    from tickrail.testing import write_config

    checks: list[Callable[[PreStart], object]] = [quiet, strict, broken]
    root = write_config(project, tables(one="Fine"))
    with pytest.raises(ConfigProblems) as caught:
        RuntimeBootstrapper("test", root=root, environ={}, checks=checks).bootstrap()  # type: ignore[arg-type]
    said = [problem.message.rpartition(".")[2] for problem in caught.value.problems]
    assert said == [
        "strict: no limits are set",
        "strict: the account is not reconciled",
        "broken: raised LookupError: account",
    ]
    assert caught.value.phase == "pre-start checks"
    assert "fault_module" in sys.modules
    assert sys.modules["fault_module"].calls == []


def test_strategies_that_wait_for_each_other(project: Path) -> None:
    configuration = {
        "strategies": {
            "a": {"class": "fault_module:Fine", "after": ["b"]},
            "b": {"class": "fault_module:Fine", "after": ["a", "cc"]},
            "c": {"class": "fault_module:Fine"},
        }
    }
    error = refused(project, configuration)
    assert "strategies wait for each other: a -> b -> a" in error.message
    assert "no strategy 'cc'; did you mean" in error.message or "no strategy 'cc'" in error.message
    assert error.phase == "construct strategies"


def test_a_phase_that_takes_too_long_is_undone(project: Path) -> None:
    import time

    configuration = {**tables(one="Fine"), "runtime": {"phase_deadline_ns": 20_000_000}}
    from tickrail import RuntimeBootstrapper
    from tickrail.testing import write_config

    root = write_config(project, configuration)
    with pytest.raises(BootstrapFailed, match=r"phase '.*' took .* s, longer than its deadline of 0.02 s"):
        RuntimeBootstrapper("test", root=root, environ={}, checks=[lambda start: time.sleep(0.1)]).bootstrap()


def test_two_processes_do_not_share_a_state_folder(project: Path) -> None:
    configuration = {**tables(one="Fine"), "runtime": {"state_dir": "states"}}
    with boot(configuration, folder=project):
        program = (
            "from tickrail import RuntimeBootstrapper\n"
            "RuntimeBootstrapper('test', environ={}, overrides=['runtime.seed=5']).bootstrap()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert f"is in use by process {os.getpid()} (configuration " in done.stderr
        assert "this is configuration " in done.stderr
        error = refused(project, configuration)
        assert isinstance(error, BootstrapFailed)
    with boot(configuration, folder=project) as runtime:
        assert runtime.run().ok
