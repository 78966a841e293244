"""What a ``Runtime`` offers beside running to the end: by hand, by asyncio, lives from other threads, slow hooks."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import TickArray, errors, testing
from tickrail._native import TickFileWriter
from tickrail.domain import commands as c
from tickrail.domain.commands import Command
from tickrail.errors import IllegalTransition
from tickrail.orchestration import at_exit
from tickrail.orchestration.adapters import make_adapter
from tickrail.orchestration.bus.bridge import awaited
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.control import Requests
from tickrail.orchestration.live import switch_interval
from tickrail.orchestration.sources import named_arrays
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.testing import boot

MODULE = """
    import threading
    import time
    from tickrail import Strategy

    reached, go_on = threading.Event(), threading.Event()

    class Counts(Strategy):
        def on_start(self):
            self.count = 0
        def on_tick(self, tick):
            self.count += 1

    class Holds(Counts):
        def on_tick(self, tick):
            super().on_tick(tick)
            if self.count == 100:
                reached.set()
                go_on.wait(30)

    class SlowToStart(Counts):
        def on_start(self):
            super().on_start()
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "faces_module.py").write_text(dedent(MODULE))
    monkeypatch.delitem(sys.modules, "faces_module", raising=False)
    return tmp_path


def tables(cls: str, **runtime: Any) -> dict[str, Any]:
    return {"runtime": runtime, "strategies": {"one": {"class": f"faces_module:{cls}"}}}


def test_by_hand_to_a_time_a_step_and_the_end(project: Path) -> None:
    with (
        boot(tables("Counts"), folder=project) as runtime,
        pytest.raises(errors.IllegalTransition, match="there is nothing to finish"),
    ):
        runtime.finish()
    with boot(tables("Counts"), folder=project / "again") as runtime:
        first = testing.mixed(1_000, instruments=("EURUSD.SIM",), seed=0, step_ns=1_000_000)[0].ts_event
        assert runtime.run_until(first)
        taken = runtime.dispatcher.strategies["one"].count  # type: ignore[attr-defined]
        assert runtime.step() == "tick"
        assert runtime.dispatcher.strategies["one"].count == taken + 1  # type: ignore[attr-defined]
        result = runtime.finish()
        assert (result.ok, result.ticks) == (True, taken + 1)
        for again in (runtime.run, runtime.finish, runtime.step, lambda: runtime.run_until(first)):
            with pytest.raises(errors.IllegalTransition, match="this runtime is used: a runtime runs once"):
                again()
    with pytest.raises(errors.IllegalTransition, match="this runtime is closed"):
        runtime.run()


@pytest.mark.parametrize("begun", [False, True])
def test_who_waits_for_a_run_that_never_comes_to_its_end_is_told_when_it_is_closed(project: Path, begun: bool) -> None:
    with boot(tables("Counts"), folder=project) as runtime:
        bus = runtime.commands
        if begun:
            assert runtime.step() == "tick"
        waits = [bus.submit(c.Snapshot()), bus.submit(c.Halt("early"), key="one")]
        told: list[bool] = []
        waits[0].add_done_callback(lambda receipt: told.append(receipt.done()))
        life = runtime.stop("one")
    for receipt in waits:
        with pytest.raises(errors.ShuttingDown, match="the run takes no more commands"):
            receipt.result(0)
    with pytest.raises(errors.IllegalTransition, match="strategy one: the run is over"):
        life.result(0)
    assert told == [True]
    assert [letter.reason for letter in bus.dead_letters] == ["shutting_down"] * 2

    async def main() -> None:
        with pytest.raises(errors.ShuttingDown):
            await bus.execute_async(c.Snapshot(), timeout_s=30.0)

    asyncio.run(main())
    with pytest.raises(errors.ShuttingDown):
        bus.submit(c.Snapshot())
    with pytest.raises(errors.IllegalTransition):
        runtime.restart("one")


def test_lives_from_another_thread_while_it_goes_on(project: Path) -> None:
    with boot(tables("Holds"), folder=project) as runtime:
        import faces_module

        receipts: list[Any] = []

        def operate() -> None:
            faces_module.reached.wait(30)
            receipts.extend([runtime.pause("one", mode="no_ticks"), runtime.resume("one"), runtime.restart("one")])
            receipts.append(runtime.stop("one"))
            faces_module.go_on.set()

        thread = threading.Thread(target=operate)
        thread.start()
        result = runtime.run()
        thread.join()
        assert receipts[-1].result(30).name == "STOPPED"
        assert receipts[0].cancelled(), "a stop overtakes what was asked before it in the same step"
        states = [change.after for change in runtime.lives.changes if change.strategy == "one"]
        assert states[-1] == "STOPPED"
    assert result.ok


@pytest.mark.parametrize("fails", [False, True])
def test_asyncio_waits_for_it_and_gets_what_it_raises(project: Path, fails: bool) -> None:
    async def main() -> Any:
        with boot(tables("Counts"), folder=project) as runtime:
            if fails:
                await runtime.run_async()
            return await runtime.run_async()

    if fails:  # a runtime runs once
        with pytest.raises(errors.IllegalTransition, match="runs once"):
            asyncio.run(main())
    else:
        assert asyncio.run(main()).ticks == 1_000


def test_a_hook_beyond_its_deadline_is_reported_while_it_runs_with_its_stack(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.ERROR),
        boot(tables("SlowToStart", hook_deadline_ns=20_000_000), folder=project) as runtime,
    ):
        runtime.run()
    (record,) = [one for one in caplog.records if "has not returned" in one.getMessage()]
    said = record.getMessage()
    assert said.startswith("strategy one: on_start has not returned after 0.")
    assert "in on_start" in said, "the stack of the dispatch thread"
    assert runtime.lives.slow_hooks[0].hook == "on_start"


class Ask(Command):
    what: str


@pytest.mark.parametrize(
    ("raised", "expected", "said"),
    [
        (LookupError("gone"), LookupError, "gone"),
        (StopIteration(3), RuntimeError, r"the handler raised StopIteration\(3\)"),
    ],
)
def test_asyncio_gets_what_a_handler_raises(raised: Exception, expected: type[Exception], said: str) -> None:
    bus = CommandBus()

    def handle(command: Ask) -> None:
        raise raised

    bus.register(Ask, handle)

    async def main() -> None:
        await awaited(bus.submit(Ask("x")))

    with pytest.raises(expected, match=said):
        asyncio.run(main())
    bus.close()


def test_an_answer_to_a_loop_that_is_closed_is_nobodys() -> None:
    bus, release = CommandBus(), threading.Event()

    async def handle(command: Ask) -> str:
        await asyncio.to_thread(release.wait, 30)
        return command.what

    bus.register(Ask, handle)
    receipt = bus.submit(Ask("x"))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(awaited(receipt))), 0.01)

    asyncio.run(main())
    release.set()
    bus.close()


def test_requests_of_operators_are_answered_in_one_form() -> None:
    bus, replies = CommandBus(), list[Any]()
    control = Requests(bus)  # without a socket: what arrives there is handed over here
    limits: dict[str, float] = {}
    bus.register(c.SetLimits, lambda command: limits.update(most=command.max_order_quantity) or dict(limits))

    def stop(command: c.StopStrategy) -> None:
        raise errors.CommandRefused("not now", reason="busy", command="StopStrategy")

    def restart(command: c.RestartStrategy) -> None:
        raise ZeroDivisionError("oops")

    bus.register(c.StopStrategy, stop)
    bus.register(c.RestartStrategy, restart)

    def ask(do: str, **args: Any) -> dict[str, Any]:
        control.operate(json.dumps({"do": do, "args": {**args, "timeout_s": 1}}), lambda text: replies.append(text))
        answer: dict[str, Any] = json.loads(replies[-1])
        return answer

    assert ask("limits", max_order_quantity=2.0) == {"ok": True, "result": {"most": 2.0}}
    assert ask("limit")["reason"] == "unknown_request"
    assert ask("limits", most="x")["reason"] == "invalid_field"
    assert (ask("stop", strategy="a")["reason"], ask("stop", strategy="a")["message"]) == ("busy", "not now")
    assert ask("restart", strategy="a")["message"] == "ZeroDivisionError: oops"
    assert ask("restart", strategy="a")["reason"] == "failed"
    assert ask("pause", strategy="a")["reason"] == "refused", "nobody handles it"
    control.replay(json.dumps({"do": "limits", "args": {"max_order_quantity": 3.0}}).encode())
    assert limits == {"most": 3.0}
    bus.close()


def test_settings_that_an_adapter_needs_and_lacks_are_named() -> None:
    with pytest.raises(errors.WiringError, match="adapter 'published': missing a required argument: 'instruments'"):
        make_adapter("feed", "published", name="x", settings={})


class Counts(tickrail.Strategy):
    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1


def by_receipt(count: int) -> TickArray:
    array = testing.quotes(count, instrument="B.SIM")
    return TickArray.from_records(array.numpy(), ["B.SIM"], order_by="ts_init")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: [testing.quotes(2, instrument="A.SIM"), by_receipt(2)], "ordered by different times: data0 by ts_ev"),
        (lambda: {"A.SMI": testing.quotes(2, instrument="A.SIM")}, "has no instrument 'A.SMI'; did you mean 'A.SIM'"),
        (lambda: 3, "int is no data"),
    ],
)
def test_data_that_is_none_is_named(data: Callable[[], Any], said: str) -> None:
    with pytest.raises(errors.DataError, match=said):
        tickrail.backtest(Counts(), data())


def test_data_of_one_name_twice_gets_two_names() -> None:
    counts = Counts()
    ticks = testing.quotes(3, instrument="A.SIM")
    assert tickrail.backtest(counts, {"A.SIM": ticks}).ticks == 3
    several = Counts()
    assert tickrail.backtest(several, [ticks, ticks]).ticks == several.count == 6
    assert np.all(ticks.numpy()["kind"] == 1)


def test_a_run_from_a_script_names_what_cannot_be(tmp_path: Path) -> None:
    ticks = testing.quotes(3, instrument="A.SIM")
    dispatcher = TickDispatcher([{"id": "A.SIM"}])
    with pytest.raises(errors.ParameterError, match="one: 3 is no strategy"):
        dispatcher.register(3, "one")  # type: ignore[arg-type]
    dispatcher.register(Counts(), "one")
    with pytest.raises(errors.ParameterError, match="two strategies have the name 'one'"):
        dispatcher.register(Counts(), "one")
    with pytest.raises(errors.ParameterError, match="a strategy has the name 'pull', which is that of the run itself"):
        tickrail.open_run(ticks, strategies={"pull": Counts()})
    with tickrail.open_run(ticks) as run:
        assert run.instruments == ("A.SIM",)
        assert len(list(run)) == 3
        assert run.stats().ticks == 3
        with pytest.raises(IllegalTransition, match="a run is entered once"):
            run.__enter__()
    assert run.result.ok


def test_files_and_arrays_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    with TickFileWriter(tmp_path / "a.ticks") as writer:
        writer.append_ticks(testing.quotes(3, instrument="A.SIM"))
        writer.commit()
    counts, data = Counts(), [tmp_path / "a.ticks", str(tmp_path / "a.ticks"), tmp_path / "a.ticks"]
    assert list(named_arrays(data)) == ["a", "a-2", "a-3"]
    assert tickrail.backtest(counts, data).ticks == counts.count == 9


def test_a_strategy_takes_another_instrument_from_outside_of_its_handlers() -> None:
    arrays = {name: testing.quotes(3, instrument=name) for name in ("A.SIM", "B.SIM")}
    dispatcher, counts = TickDispatcher([{"id": name} for name in arrays]), Counts()
    for name, array in arrays.items():
        dispatcher.feed(name, array)
    dispatcher.register(counts, "counts", instruments=["A.SIM"])
    assert dispatcher.step() == "tick"
    dispatcher.subscribe("counts", "B.SIM")
    dispatcher.run()
    assert counts.count == 5, "all but the tick of the step at whose end it takes effect"


def test_the_switch_interval_comes_back_with_the_last_run_that_wanted_one() -> None:
    before = sys.getswitchinterval()
    first, second = switch_interval(5e-5), switch_interval(1e-4)
    with switch_interval(None):
        assert sys.getswitchinterval() == before, "whoever wants none changes nothing"
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(5e-5, abs=2e-6), "the shortest of them"
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(5e-5, abs=2e-6), "another one goes on"
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before


def test_a_run_on_a_daemon_thread_stops_when_the_interpreter_ends() -> None:
    """As ``atexit`` does it; runs on other threads, and those of a parent that was forked, are none of its business."""
    run = tickrail.open_live(Counts(), ["A.SIM"])
    run.feed("quiet")
    begun, results = threading.Event(), list[Any]()
    run._dispatcher.lives.listen(lambda change: begun.set())
    thread = threading.Thread(target=lambda: results.append(run.run()), daemon=True)
    thread.start()
    assert begun.wait(30)
    (going,) = at_exit._going
    going.process += 1
    at_exit._end()
    assert thread.is_alive(), "it belongs to another process"
    going.process -= 1
    at_exit._end()
    thread.join(30)
    assert [result.status for result in results] == ["stopped"]
    assert not at_exit._going
