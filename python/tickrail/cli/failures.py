"""The one place that turns an error into words on stderr and an exit code."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any, Final

import click

from tickrail.errors import ConfigProblems, TickrailError
from tickrail.orchestration.output import complain

__all__ = ["CONFIGURATION", "FAILED", "INTERRUPTED", "OK", "USAGE", "cause_of_end", "exit_code", "report"]

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CONFIGURATION: Final = 78  # EX_CONFIG of sysexits.h; a service supervisor can tell it from a crash and not restart
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


def cause_of_end(error: BaseException) -> BaseException:
    """What ended the command: Ctrl-C, too, where it came amid a wait for a lock that then could not be given back."""
    found: BaseException | None = error
    while type(found) is RuntimeError:
        found = found.__context__
    return found if isinstance(found, KeyboardInterrupt) else error


def exit_code(error: BaseException) -> int:
    """The exit code that an error means."""
    if isinstance(error, click.UsageError):
        return USAGE
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return error.exit_code if isinstance(error, TickrailError | click.ClickException) else FAILED


def report(error: BaseException, code: int, *, as_json: bool, trace: bool) -> None:
    """Say on stderr what went wrong."""
    if trace:
        complain(lambda: traceback.print_exception(error, file=sys.stderr))
    text = json.dumps({"error": _facts(error, code)}) if as_json else _words(error)
    complain(lambda: click.echo(text, err=True))


def _words(error: BaseException) -> str:
    message, hint = _message(error), _hint(error)
    if isinstance(error, ConfigProblems) and len(error.problems) > 1:
        message = f"{len(error.problems)} problems in the configuration\n{message}"
    return f"error: {message}" + (f"\n  hint: {hint}" if hint else "")


def _facts(error: BaseException, code: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": type(error).__name__,
        "message": _message(error),
        "hint": _hint(error),
        "exit_code": code,
    }
    if isinstance(error, ConfigProblems):
        facts["problems"] = [
            {name: getattr(problem, name) for name in ("path", "origin", "message", "expected", "near_miss")}
            for problem in error.problems
        ]
    return facts


def _message(error: BaseException) -> str:
    if isinstance(error, TickrailError):
        return error.message
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error}"


def _hint(error: BaseException) -> str | None:
    if isinstance(error, TickrailError):
        return error.hint
    if isinstance(error, click.UsageError):
        return f"'{error.ctx.command_path} --help' lists what there is" if error.ctx else None
    if isinstance(error, click.ClickException | click.Abort | KeyboardInterrupt | OSError):
        return None
    return "a defect of tickrail; TICKRAIL_TRACEBACK=1 shows where it arose"
