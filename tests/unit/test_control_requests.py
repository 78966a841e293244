"""Requests of operators as they reach the loop: made into commands, answered in JSON, refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tickrail.domain import commands as c
from tickrail.errors import CommandError, CommandRefused, ParameterError
from tickrail.orchestration.control import REQUESTS, Requests, socket_folder, socket_of


class Bus:
    """Answers every command in one way, and keeps them."""

    def __init__(self, act: Callable[[c.Command], Any]) -> None:
        self.act = act
        self.commands: list[c.Command] = []

    def execute(self, command: c.Command) -> Any:
        self.commands.append(command)
        return self.act(command)


def control(act: Callable[[c.Command], Any] = lambda _: None) -> tuple[Requests, Bus]:
    """A control without a socket: what the lanes call."""
    bus = Bus(act)
    made = Requests(bus)  # type: ignore[arg-type]
    return made, bus


def asked(made: Requests, do: str, **args: Any) -> list[dict[str, Any]]:
    replies: list[dict[str, Any]] = []
    made.operate(json.dumps({"do": do, "args": args}), lambda text: replies.append(json.loads(text)))
    return replies


def raising(error: Exception) -> Callable[[c.Command], Any]:
    def act(_: c.Command) -> Any:
        raise error

    return act


def test_a_request_is_a_command_without_its_time_out() -> None:
    made, bus = control(lambda _: {"state": "PAUSED"})
    assert asked(made, "pause", strategy="s", timeout_s=3.0) == [{"ok": True, "result": {"state": "PAUSED"}}]
    (command,) = bus.commands
    assert isinstance(command, c.PauseStrategy)
    assert command.strategy == "s"


def test_what_comes_later_is_answered_later() -> None:
    done: Future[str] = Future()
    made, _ = control(lambda _: done)
    replies = asked(made, "status")
    assert replies == []
    done.set_result("all is well")
    assert replies == [{"ok": True, "result": "all is well"}]


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (CommandRefused("no strategy 'x'", reason="unknown_strategy", command="pause"), "unknown_strategy", "no strat"),
        (CommandError("the run is over"), "refused", "the run is over"),
        (ParameterError("fast is 0", hint="at least 1"), "failed", "fast is 0"),
        (KeyError("x"), "failed", "KeyError: 'x'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_has_a_reason(error: Exception, reason: str, message: str, late: bool) -> None:
    done: Future[None] = Future()
    done.set_exception(error)
    made, _ = control((lambda _: done) if late else raising(error))
    ((answer),) = asked(made, "pause", strategy="x")
    assert (answer["ok"], answer["reason"]) == (False, reason)
    assert answer["message"].startswith(message)
    assert answer["hint"] == getattr(error, "hint", None)


def test_an_unknown_request_names_those_that_there_are() -> None:
    made, bus = control()
    (answer,) = asked(made, "pasue", strategy="s")
    assert answer["reason"] == "unknown_request"
    assert all(name in answer["message"] for name in (*REQUESTS, "ping"))
    assert bus.commands == []


@pytest.mark.parametrize("args", [{}, {"strategy": 3}, {"strategy": "s", "mode": "a nap"}, {"strategy": "s", "x": 1}])
def test_fields_are_checked_before_anything_is_done(args: dict[str, Any]) -> None:
    made, bus = control()
    (answer,) = asked(made, "pause", **args)
    assert (answer["ok"], answer["reason"]) == (False, "invalid_field")
    assert answer["message"].startswith("pause: ")
    assert bus.commands == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"do": "pause"}', "\x00"])
def test_what_is_no_request_is_answered_too(text: str) -> None:
    made, _ = control()
    replies: list[str] = []
    made.operate(text, replies.append)
    assert json.loads(replies[0])["ok"] is False


def test_a_recorded_request_is_handled_and_answered_to_nobody() -> None:
    made, bus = control()
    made.replay(b'{"do": "halt", "args": {"reason": "test"}}')
    assert [type(one) for one in bus.commands] == [c.Halt]


def test_sockets_lie_in_the_run_directory(tmp_path: Path) -> None:
    assert socket_of(tmp_path, "live-1") == socket_folder(tmp_path) / "live-1.sock" == tmp_path / "control/live-1.sock"
