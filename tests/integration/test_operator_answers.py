"""What an operator is answered: whatever a handler returns, the run goes on and the answer can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import SecretStr
from rich.pretty import pretty_repr

import tickrail
from tickrail.cli.ctl import ctl
from tickrail.domain.commands import UpdateParameters
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import CommandInvalid, ConfigError
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.control import Requests
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.strategy import Inject

EURUSD = "EURUSD.SIM"


class Mode(Enum):
    A = "a"
    B = "b"


class Odd(tickrail.Strategy):
    """Parameters of types that JSON does not know."""

    mode: Mode = Mode.A
    key: SecretStr = SecretStr("s3cret")
    folder: Path = Path("/")
    price: Decimal = Decimal(1)
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    weights: tuple[float, ...] = ()

    act = None

    def on_tick(self, tick: tickrail.Tick) -> None:
        if self.act is not None:
            act, self.act = self.act, None
            act()


class Served(Odd):
    """And with a service."""

    told: Inject[Event]


def asked(
    *requests: tuple[str, dict[str, Any]],
    before: Callable[[TickDispatcher], None] = lambda _: None,
    strategy: Odd | None = None,
) -> tuple[list[dict[str, Any]], TickDispatcher]:
    """The answers of a run to these requests, all made at its first tick."""
    records = np.zeros(3, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 4)
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
    strategy = strategy or Odd()
    dispatcher.register(strategy, "odd")
    before(dispatcher)
    answers: list[dict[str, Any]] = []
    control = Requests(dispatcher.commands)

    def act() -> None:
        for name, arguments in requests:
            control.operate(json.dumps({"do": name, "args": arguments}), lambda text: answers.append(json.loads(text)))

    strategy.act = act
    dispatcher.run()
    return answers, dispatcher


def test_parameters_of_types_that_json_does_not_know_are_answered_and_secrets_masked() -> None:
    params = {
        "mode": "b",
        "key": "another",
        "folder": "/tmp",
        "price": "1.5",
        "since": "2026-02-03T04:05:06Z",
        "weights": [1.0, float("inf")],
    }
    (answer,), dispatcher = asked(("set", {"strategy": "odd", "params": params}))
    assert dispatcher.result().ok, dispatcher.result().errors
    assert answer == {
        "ok": True,
        "result": {
            "parameters": {
                "mode": "b",
                "key": "**********",
                "folder": "/tmp",
                "price": "1.5",
                "since": "2026-02-03T04:05:06Z",
                "weights": [1.0, None],
            }
        },
    }
    strategy = dispatcher.strategies["odd"]
    assert (strategy.mode, strategy.price, strategy.key.get_secret_value()) == (Mode.B, Decimal("1.5"), "another")


def test_a_service_is_no_parameter_to_be_set() -> None:
    (answer,), _ = asked(("set", {"strategy": "odd", "params": {"told": 1}}), strategy=Served(told=Event()))
    assert answer["reason"] == "invalid_parameter"
    assert answer["message"] == "UpdateParameters: told is a service, which the container gives"


@pytest.mark.parametrize(
    "params",
    [{"key": ["t0psecret"]}, {"key": {"t0psecret": 1}}, {"key": "t0psecret", "mode": "c"}, {"kee": "t0psecret"}],
)
def test_a_secret_that_is_set_is_said_by_nobody(params: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Neither by a refusal nor where a command is shown, whatever shows it; the wire and the record have it."""
    caplog.set_level("DEBUG")
    (answer,), dispatcher = asked(("set", {"strategy": "odd", "params": params}))
    assert (answer["ok"], answer["reason"]) == (False, "invalid_parameter")
    command = UpdateParameters("odd", params)
    bus = CommandBus()
    bus.register(UpdateParameters, lambda command: None)
    bus.submit(command, key="k")
    with pytest.raises(CommandInvalid, match="key 'k' was used for another command") as caught:
        bus.submit(UpdateParameters("odd", {"fast": 1}), key="k")
    shown = [str(answer), caplog.text, str(caught.value), repr(command), pretty_repr(command)]
    shown += map(repr, (*bus.dead_letters, *dispatcher.commands.dead_letters))
    assert "t0psecret" not in "".join(shown)
    assert b"t0psecret" in msgspec.msgpack.encode(command)


class Unsayable:
    """Neither JSON nor anything else has it, and its text fails."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _settled(result: object = None, error: BaseException | None = None, *, cancelled: bool = False) -> Future[Any]:
    done: Future[Any] = Future()
    if cancelled:
        done.cancel()
    elif error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
    return done


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (lambda: {"x": {1, 2}}, {"ok": True, "result": {"x": [1, 2]}}),
        (lambda: float("nan"), {"ok": True, "result": None}),
        (lambda: Unsayable(), {"ok": True, "result": "Unsayable"}),
        (lambda: _settled(Unsayable()), {"ok": True, "result": "Unsayable"}),
        (_circle, "no_answer"),
        (lambda: _settled(_circle()), "no_answer"),
        (lambda: _settled(cancelled=True), "failed"),
        (lambda: _settled(error=Speechless()), "failed"),
    ],
)
def test_whatever_a_handler_returns_the_operator_has_an_answer_and_the_run_goes_on(
    returned: Callable[[], Any], expected: Any
) -> None:
    def replaced(dispatcher: TickDispatcher) -> None:
        dispatcher.commands.use(lambda command, proceed: returned())

    (answer,), dispatcher = asked(("status", {}), before=replaced)
    assert dispatcher.result().ok, dispatcher.result().errors
    assert (answer if answer["ok"] else answer["reason"]) == expected


@pytest.mark.parametrize(
    ("verb", "result", "code"),
    [
        (("pause", "one"), {"state": "PAUSED"}, 0),
        (("resume", "one"), {"state": "FAILED"}, 1),
        (("restart", "one"), {"state": "FAILED"}, 1),
        (("halt",), {"trading": "HALTED", "persisted": True, "orders": 0}, 0),
        (("halt",), {"trading": "HALTED", "persisted": False, "orders": 0}, 0),
        (("halt",), {"trading": "HALTED", "persisted": False, "problem": "no space", "orders": 0}, 5),
        (("status",), None, 0),
    ],
)
def test_the_exit_code_says_whether_it_came_to_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], result: Any, code: int
) -> None:
    monkeypatch.setattr("tickrail.cli.ctl.ask", lambda *_: {"ok": True, "result": result})
    assert ctl.main([*verb, "--json"], standalone_mode=False) == code


def test_a_path_that_no_socket_can_have_is_said_as_such(tmp_path: Path) -> None:
    dispatcher = TickDispatcher([{"id": EURUSD}])
    path = tmp_path / ("d" * 110) / "paper-1.sock"
    with pytest.raises(ConfigError, match=r"has \d+ bytes, and the system takes at most 10[37]") as caught:
        dispatcher.open_control(path, "paper-1")
    assert caught.value.exit_code == 78
    assert "runtime.run_dir" in str(caught.value.hint)
    assert "--no-control" in str(caught.value.hint)
    assert not path.parent.exists()
