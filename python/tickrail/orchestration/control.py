"""Operator control: requests of the socket as commands of the bus, and where the sockets are.

The socket itself is served natively (``rust/core/src/control``), by threads that need neither the loop nor the
interpreter; what arrives here is on the dispatch thread, between two steps.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pydantic_core

from tickrail._native import CommandLanes, ControlSocket, Dispatcher, Operations, open_lanes, replay_commands
from tickrail.domain import commands as c
from tickrail.errors import CommandError, CommandRefused, ConfigError, TickrailError
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.forks import close_sockets, keep_from_children
from tickrail.orchestration.kept_trading import socket_folder

if TYPE_CHECKING:
    from tickrail.report.stats import RuntimeStats

__all__ = ["OPERATOR_KIND", "REQUESTS", "Control", "Requests", "is_served", "replayed", "socket_folder", "socket_of"]

OPERATOR_KIND: Final = 19
"""The code that requests of operators have on the lanes and in recordings."""

REQUESTS: Final[dict[str, type[c.Command]]] = {
    "pause": c.PauseStrategy,
    "resume": c.ResumeStrategy,
    "stop": c.StopStrategy,
    "restart": c.RestartStrategy,
    "cancel": c.CancelAllOrders,
    "cancel-order": c.CancelOrder,
    "close": c.ClosePositions,
    "set": c.UpdateParameters,
    "limits": c.SetLimits,
    "halt": c.Halt,
    "trade": c.ResumeTrading,
    "status": c.Snapshot,
    "shutdown": c.Shutdown,
}
"""What an operator may ask for, by its name in the protocol."""

LOOK_S: Final = 1.0
"""How long a process may take to accept a connection before it is taken for a busy one."""
MOST_BYTES: Final = 107 if sys.platform == "linux" else 103
"""Longest path of a socket: ``sun_path`` without the zero at its end."""
BEGUN: Final = ".new"
"""What the name of a socket ends with until it is served; the system goes on calling it so."""
TRANSPORT: Final = "timeout_s"
"""Belongs to the request and not to the command."""


def is_served(path: Path) -> bool:
    """Whether a process serves the socket at ``path``; one that was killed leaves it behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(LOOK_S)
        try:
            stream.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is served, and busy
            return True
    return True


def socket_of(run_dir: Path, run: str) -> Path:
    """The socket of the run called ``run``."""
    return socket_folder(run_dir) / f"{run}.sock"


def replayed(dispatcher: Dispatcher, bus: CommandBus, recording: bytes) -> int:
    """Let the run take the inputs of ``recording``, and ``bus`` handle its commands and its operators' requests.

    Raises:
        ValueError: This is no recording.
    """
    count = replay_commands(dispatcher, recording)
    open_lanes(dispatcher).receive(Requests(bus), OPERATOR_KIND)
    return count


class Requests:
    """Requests of operators as commands of the bus.

    Args:
        bus: Handles what they ask for.
    """

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus

    def operate(self, text: str, reply: Callable[[str], None]) -> None:
        """Handle one request; the native lanes call this on the dispatch thread."""
        try:
            command = _command(json.loads(text))
            result = self._bus.execute(command)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            reply(_told(_refusal(error)))
            return
        if isinstance(result, Future):
            result.add_done_callback(lambda done: reply(_told(_answer(done))))
        else:
            reply(_told({"ok": True, "result": result}))

    def knows(self, _: bytes) -> None:
        """A recorded request is handled whatever it says: one that was refused is refused again."""

    def replay(self, payload: bytes) -> None:
        """Handle a recorded request, whose answer nobody waits for."""
        self.operate(payload.decode(), lambda _: None)


class Control:
    """Serves operators of one run until it is closed.

    Args:
        bus: Handles what they ask for.
        lanes: The way there.
        operations: The trading gate, which the socket's own threads set.
        path: The socket.
        run: What the run is called.
        stats: How it is doing; asked on the socket's own threads.

    Raises:
        ConfigError: The path is too long for a socket.
        OSError: Another process serves the socket, or the path cannot be one.
    """

    def __init__(
        self,
        bus: CommandBus,
        lanes: CommandLanes,
        operations: Operations,
        path: Path,
        run: str,
        *,
        stats: Callable[[], RuntimeStats],
    ) -> None:
        _check_length(path)
        lanes.receive(Requests(bus), OPERATOR_KIND)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in path.parent.glob("*.sock"):
            if not is_served(left):
                left.unlink(missing_ok=True)
        self._socket = ControlSocket(lanes, operations, path, run, lambda: json.dumps(stats().to_dict()))
        self._path = path
        keep_from_children(self, Control._forked)

    def close(self) -> None:
        """Take no more requests, and remove the socket. Idempotent."""
        self._socket.close()

    def _forked(self) -> None:
        """In a child: nobody serves the socket there, and it is not the child's to remove."""
        self._socket.forget()
        names = (str(self._path), str(self._path.with_suffix(BEGUN)))
        close_sockets(names.__contains__)


def _check_length(path: Path) -> None:
    if (length := len(os.fsencode(path))) > MOST_BYTES:
        raise ConfigError(
            f"{path}: the path of the control socket has {length} bytes, and the system takes at most {MOST_BYTES}",
            hint="a shorter runtime.run_dir ('--set runtime.run_dir=/run/tickrail'), or --no-control",
        )


def _command(request: dict[str, Any]) -> c.Command:
    name = str(request["do"])
    if name not in REQUESTS:
        raise CommandRefused(
            f"no request is called '{name}'; there are {', '.join(REQUESTS)}, stats, ping",
            reason="unknown_request",
            command=name,
        )
    fields = {key: value for key, value in request["args"].items() if key != TRANSPORT}
    try:
        return msgspec.convert({**fields, "type": REQUESTS[name].__name__}, REQUESTS[name])
    except msgspec.ValidationError as error:
        raise CommandRefused(f"{name}: {error}", reason="invalid_field", command=name) from None


def _told(answer: dict[str, Any]) -> str:
    """The answer as JSON, whatever a handler has returned: what cannot be told is no failure of the run."""
    try:
        return json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return pydantic_core.to_json(answer, inf_nan_mode="null", fallback=lambda value: type(value).__name__).decode()
    except Exception as error:
        message = f"it is done, and its answer is nothing that JSON can say ({type(error).__name__})"
        return json.dumps({"ok": False, "reason": "no_answer", "message": message, "hint": "'status' says what holds"})


def _answer(done: Future[Any]) -> dict[str, Any]:
    if done.cancelled():
        return _refusal(CancelledError())
    error = done.exception()
    return {"ok": True, "result": done.result()} if error is None else _refusal(error)


def _refusal(error: BaseException) -> dict[str, Any]:
    if isinstance(error, CommandRefused):
        reason = error.reason
    else:
        reason = "refused" if isinstance(error, CommandError) else "failed"
    message = error.message if isinstance(error, TickrailError) else _said(error)
    return {"ok": False, "reason": reason, "message": message, "hint": getattr(error, "hint", None)}


def _said(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # its own text fails too
        return name
