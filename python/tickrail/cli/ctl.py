"""``tickrail ctl``: operate a running process, by the socket in its run directory."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from tickrail.cli.options import FiniteRange, json_option, traceback_option
from tickrail.domain.near import did_you_mean
from tickrail.orchestration.control import is_served, socket_folder, socket_of

__all__ = ["NO_ANSWER", "NO_RUN", "REFUSED", "NoAnswer", "NoRun", "ask", "ctl", "named_run", "runs_in"]

REFUSED: Final = 1
NO_RUN: Final = 3
NO_ANSWER: Final = 4
NOT_KEPT: Final = 5
"""It is done, and the next process would not know of it."""
PROTOCOL_VERSION: Final = 1
GRACE_S: Final = 5.0
"""How much longer than the request itself the answer may take on its way."""


ASKED: Final = "; it may have been asked all the same: 'status' says where it stands"
NO_LIMIT: Final = math.inf


class NumberOrNull(FiniteRange):
    """A number, or ``null`` for no limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """``NO_LIMIT`` where it is ``null``."""
        return NO_LIMIT if value in ("null", NO_LIMIT) else super().convert(value, param, ctx)


class NoRun(click.ClickException):
    """No running process, or several."""

    exit_code = NO_RUN


class NoAnswer(click.ClickException):
    """The process does not answer."""

    exit_code = NO_ANSWER


class NotYours(click.ClickException):
    """The process belongs to another user."""

    exit_code = REFUSED


@click.group(short_help="Operate a running process.")
@click.option("--run", "run_id", metavar="ID", help="Which run, where several go on.")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The run directory (runtime.run_dir of the configuration).",
)
@click.option(
    "--timeout", "timeout_s", type=FiniteRange(min=0.0, max=86_400.0), default=5.0, show_default=True, help="Seconds."
)
@click.pass_context
def ctl(context: click.Context, *, run_id: str | None, run_dir: Path, timeout_s: float) -> None:
    """Operate a running process, by the socket in its run directory.

    \b
    Exit codes:
      0  done
      1  refused, with the reason, orders among it, or the strategy FAILED in doing it
      2  wrong usage
      3  no such run
      4  no answer in time
      5  halted, and a process that starts again would not be: see 'problem'
    """  # noqa: D301 - the mark that keeps lines apart is the character itself
    context.obj = (run_dir, run_id, timeout_s)


def ask(run_dir: Path, run_id: str | None, timeout_s: float, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a running process.

    Raises:
        NoRun: There is none, or it is not clear which.
        NoAnswer: It does not answer in time, or has ended before it did.
        NotYours: It belongs to another user.
        UsageError: A number is not finite, which no request can say.
    """
    path = socket_of(run_dir, named_run(run_dir, run_id))
    request = {"v": PROTOCOL_VERSION, "do": name, "args": {**arguments, "timeout_s": timeout_s}}
    try:
        text = json.dumps(request, allow_nan=False)
    except ValueError:
        raise click.UsageError(f"{name}: a number is not finite") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(timeout_s + GRACE_S)
        try:
            stream.connect(str(path))
            with suppress(BrokenPipeError):  # too long: that is answered before all of it was read
                stream.sendall(text.encode() + b"\n")
            with stream.makefile("rb") as lines:
                line = lines.readline()
        except (ConnectionRefusedError, FileNotFoundError):
            raise NoRun(f"{path.stem} has ended and left its socket behind") from None
        except PermissionError:
            raise NotYours(f"{path.stem} belongs to another user, who alone may operate it") from None
        except TimeoutError:
            said = f"{path.stem} does not answer within {timeout_s:g} s"
            raise NoAnswer(f"{said}{ASKED}") from None
        except OSError as error:
            raise NoAnswer(f"{path.stem} has closed the connection: {error.strerror or error}") from None
    if not line:
        raise NoAnswer(f"{path.stem} has closed the connection")
    return _understood(path.stem, line)


def _understood(run: str, line: bytes) -> dict[str, Any]:
    """The answer that ``line`` is.

    Raises:
        NoAnswer: It is none of this version, or not a whole one: the process may have died within it.
    """
    try:
        answer = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:  # no JSON, or no UTF-8
        answer = None
    if not (isinstance(answer, dict) and "v" in answer):
        raise NoAnswer(f"{run} has given no whole answer{ASKED}")
    if answer["v"] != PROTOCOL_VERSION:
        said = f"{run} answers in version {answer['v']} of the protocol, and this command speaks {PROTOCOL_VERSION}"
        raise NoAnswer(f"{said}; ask with the tickrail that runs it")
    if not _is_whole(answer):
        raise NoAnswer(f"{run} has given no whole answer{ASKED}")
    return answer


def _is_whole(answer: Mapping[str, Any]) -> bool:
    if answer.get("ok") is True:
        return isinstance(answer.get("result", ()), dict | None)
    return answer.get("ok") is False and all(isinstance(answer.get(name), str) for name in ("reason", "message"))


def runs_in(run_dir: Path) -> dict[str, Path]:
    """The sockets of a run directory by the names of their runs; not what killed processes have left behind."""
    return {path.stem: path for path in sorted(socket_folder(run_dir).glob("*.sock")) if is_served(path)}


def named_run(run_dir: Path, run_id: str | None) -> str:
    """The run called ``run_id``, or the only one.

    Raises:
        NoRun: There is none, or it is not clear which.
        NotYours: Nobody but another user may look at them.
    """
    folder = socket_folder(run_dir)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        raise NotYours(f"{folder} belongs to another user, who alone may operate what runs there")
    known = runs_in(run_dir)
    if run_id is not None:
        if run_id not in known and run_id in {path.stem for path in folder.glob("*.sock")}:
            raise NoRun(f"{run_id} has ended and left its socket behind")
        if run_id not in known:
            raise NoRun(f"no run '{run_id}' in {folder}{did_you_mean(run_id, known)}")
        return run_id
    if not known:
        raise NoRun(f"no run goes on in {folder}")
    if len(known) > 1:
        raise NoRun(f"several runs go on: name one with --run: {', '.join(known)}")
    return next(iter(known))


def _say(answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(answer))
    elif answer["ok"]:
        click.echo("\n".join(_lines(answer["result"] or {})))
    else:
        hint = f"\n  hint: {answer['hint']}" if answer.get("hint") else ""
        click.echo(f"{answer['reason']}: {answer['message']}{hint}", err=True)
    if answer["ok"]:
        result = answer["result"] or {}
        failed = result.get("state") == "FAILED" or "refused" in result
        return NOT_KEPT if "problem" in result else REFUSED if failed else 0
    return NO_ANSWER if answer["reason"] == "timeout" else REFUSED


def _lines(result: Any, indent: str = "") -> list[str]:
    lines = []
    for name, value in result.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {'-' if value in ({}, None, '') else value}")
    return lines or [f"{indent}done"]


def _request(context: click.Context, name: str, as_json: bool, **arguments: Any) -> int:
    given = {key: value for key, value in arguments.items() if value is not None}
    return _ask(context, name, as_json, given)


def _ask(context: click.Context, name: str, as_json: bool, given: Mapping[str, Any]) -> int:
    run_dir, run_id, timeout_s = context.obj
    return _say(ask(run_dir, run_id, timeout_s, name, given), as_json=as_json)


@ctl.command()
@click.argument("strategy")
@click.option("--no-ticks", is_flag=True, help="Hold ticks and timers back too (else only new orders).")
@click.option("--cancel", is_flag=True, help="Take back its open orders.")
@json_option
@traceback_option
@click.pass_context
def pause(context: click.Context, *, strategy: str, no_ticks: bool, cancel: bool, as_json: bool) -> int:
    """Pause a strategy."""
    mode = "no_ticks" if no_ticks else "no_new_orders"
    return _request(context, "pause", as_json, strategy=strategy, mode=mode, cancel=cancel)


def _lifecycle(name: str, summary: str) -> None:
    @ctl.command(name, help=summary)
    @click.argument("strategy")
    @json_option
    @traceback_option
    @click.pass_context
    def command(context: click.Context, *, strategy: str, as_json: bool) -> int:
        return _request(context, name, as_json, strategy=strategy)


_lifecycle("resume", "Let a paused strategy go on.")
_lifecycle("stop", "Stop one strategy for good.")
_lifecycle("restart", "Stop a strategy and start a new object of its class.")


@ctl.command()
@click.option("--strategy", help="Only orders of this strategy.")
@click.option("--instrument", help="Only orders in this instrument.")
@click.option("--order", type=int, help="Only this one, by its number within --strategy.")
@json_option
@traceback_option
@click.pass_context
def cancel(
    context: click.Context, *, strategy: str | None, instrument: str | None, order: int | None, as_json: bool
) -> int:
    """Take back open orders: all, or those that the options name."""
    if order is None:
        return _request(context, "cancel", as_json, strategy=strategy, instrument=instrument)
    if strategy is None:
        raise click.UsageError("--order is a number within --strategy, which is missing")
    return _request(context, "cancel-order", as_json, strategy=strategy, order=order)


@ctl.command()
@click.option("--strategy", help="Only positions of this strategy.")
@click.option("--instrument", help="Only positions in this instrument.")
@json_option
@traceback_option
@click.pass_context
def close(context: click.Context, *, strategy: str | None, instrument: str | None, as_json: bool) -> int:
    """Bring positions to zero: all, or those that the options name."""
    return _request(context, "close", as_json, strategy=strategy, instrument=instrument)


@ctl.command("set")
@click.argument("strategy")
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE...")
@json_option
@traceback_option
@click.pass_context
def set_(context: click.Context, *, strategy: str, values: tuple[str, ...], as_json: bool) -> int:
    """Change parameters of a strategy; values are JSON, or text where they are none."""
    params = {}
    for one in values:
        name, equals, text = one.partition("=")
        if not (name and equals):
            raise click.UsageError(f"'{one}' is no NAME=VALUE")
        try:
            params[name] = json.loads(text)
        except json.JSONDecodeError:
            params[name] = text
    return _request(context, "set", as_json, strategy=strategy, params=params)


@ctl.command()
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--max-order-quantity",
    type=NumberOrNull(),
    metavar="NUMBER|null",
    help="Largest quantity of one order, of whatever strategy; null lifts it.",
)
@click.option("--table", help="Table of limits that the values belong to: ID of [limits.ID].")
@json_option
@traceback_option
@click.pass_context
def limits(
    context: click.Context,
    *,
    values: tuple[str, ...],
    max_order_quantity: float | None,
    table: str | None,
    as_json: bool,
) -> int:
    """Change what the gate lets pass; kept over restarts.

    tickrail ctl limits --table all max_orders_per_s=20 max_drawdown=null
    """
    given: dict[str, object] = {}
    if max_order_quantity is not None:
        given["max_order_quantity"] = None if max_order_quantity == NO_LIMIT else max_order_quantity
    if table is not None or values:
        given |= {"table": table, "limits": _named_values(values)}
    return _ask(context, "limits", as_json, given)


def _named_values(values: tuple[str, ...]) -> dict[str, float | None]:
    named: dict[str, float | None] = {}
    for one in values:
        name, _, text = one.partition("=")
        try:
            named[name] = None if text == "null" else float(text)
        except ValueError:
            raise click.UsageError(f"'{one}' is no NAME=VALUE with a number, or null for no limit") from None
    return named


@ctl.command()
@click.option("--reason", default="", help="Kept, and shown to whoever asks.")
@click.option("--reduce", is_flag=True, help="Let orders pass that reduce a position.")
@json_option
@traceback_option
@click.pass_context
def halt(context: click.Context, *, reason: str, reduce: bool, as_json: bool) -> int:
    """Let no order leave any more, and take back open ones; holds over restarts until 'trade'.

    Works while strategies hang: the answer says what waits for them.
    """
    return _request(context, "halt", as_json, reason=reason, reduce=reduce)


@ctl.command()
@click.option("--reason", default="", help="Kept.")
@json_option
@traceback_option
@click.pass_context
def trade(context: click.Context, *, reason: str, as_json: bool) -> int:
    """Let orders leave again, after a halt."""
    return _request(context, "trade", as_json, reason=reason)


@ctl.command()
@json_option
@traceback_option
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> int:
    """Say where everything stands."""
    return _request(context, "status", as_json)


@ctl.command()
@click.option(
    "--every", "every_s", type=FiniteRange(min=0.1, max=86_400.0), default=1.0, show_default=True, help="Seconds."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@json_option
@traceback_option
@click.pass_context
def watch(context: click.Context, *, every_s: float, count: int | None, as_json: bool) -> int:
    """Say where everything stands, again and again, until the run has ended."""
    run_dir, run_id, timeout_s = context.obj
    run = named_run(run_dir, run_id)
    answer = ask(run_dir, run, timeout_s, "status", {})
    shown = 0
    while True:
        code = _say(answer, as_json=as_json)
        shown += 1
        if code == REFUSED or shown == count:
            return code
        time.sleep(every_s)
        try:
            answer = ask(run_dir, run, timeout_s, "status", {})
        except (NoRun, NoAnswer):
            if run in runs_in(run_dir):
                raise
            return 0
        if answer.get("reason") == "shutting_down":
            return 0


@ctl.command()
@click.option("--reason", default="", help="Stands in the result and in the report of the end.")
@json_option
@traceback_option
@click.pass_context
def shutdown(context: click.Context, *, reason: str, as_json: bool) -> int:
    """Stop the run gracefully."""
    return _request(context, "shutdown", as_json, reason=reason)
