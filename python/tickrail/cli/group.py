"""The click group behind ``tickrail``: commands imported on demand, errors turned into exit codes in one place."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from tickrail.cli.failures import cause_of_end, exit_code, report
from tickrail.orchestration.output import flush

__all__ = ["TRACEBACK_VARIABLE", "CommandGroup"]

TRACEBACK_VARIABLE = "TICKRAIL_TRACEBACK"


class CommandGroup(click.Group):
    """A group whose commands cost nothing until one is called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy: dict[str, tuple[str, str]] = {}

    def lazily(self, name: str, target: str, summary: str) -> None:
        """Register ``module:attribute`` under ``name``; ``summary`` is its line in the help of the group."""
        self._lazy[name] = (target, summary)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of registration."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; an unknown name is ``None``."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from their summaries, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._lazy.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave the process with its exit code."""
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except Exception as error:  # whatever it is, a user is told in words
            _fail(cause_of_end(error), words)
        except KeyboardInterrupt as error:
            _fail(error, words)
        flush()
        sys.exit(code if isinstance(code, int) else 0)


def _fail(error: BaseException, words: list[str]) -> NoReturn:
    code = exit_code(error)
    report(
        error,
        code,
        as_json="--json" in words,
        trace="--traceback" in words or os.environ.get(TRACEBACK_VARIABLE) == "1",
    )
    flush()
    sys.exit(code)
