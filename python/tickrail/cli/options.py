"""Options that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "FiniteRange",
    "Override",
    "configuration_options",
    "environment_names",
    "json_option",
    "new_file",
    "source_options",
    "traceback_option",
]

Function = TypeVar("Function", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """A number within limits, which ``nan`` is in the eyes of click's own, and ``inf`` where there is no upper one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is no finite number too."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


def configuration_options(function: Function) -> Function:
    """``--env``, and what ``source_options`` are."""
    env = click.option(
        "--env",
        "-e",
        required=True,
        envvar="TICKRAIL_ENV",
        show_envvar=True,
        help="Folder under the configuration root.",
        shell_complete=environment_names,
    )
    return env(source_options(function))


def source_options(function: Function) -> Function:
    """``--config-root``, ``--secrets-dir`` and ``--set``: where a configuration comes from."""
    options = (
        click.option(
            "--config-root",
            type=click.Path(path_type=Path),
            default=Path("config"),
            envvar="TICKRAIL_CONFIG_ROOT",
            show_envvar=True,
            show_default=True,
            help="Where environments lie.",
        ),
        click.option(
            "--secrets-dir",
            type=click.Path(path_type=Path),
            envvar="TICKRAIL_SECRETS_DIR",
            show_envvar=True,
            help="Folder of secrets, one file a value.",
        ),
        click.option(
            "--set",
            "overrides",
            metavar="PATH=VALUE",
            multiple=True,
            callback=_unshown,
            help="Set one value, as runtime.seed=7; repeatable.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Override(str):
    """The text of a ``--set``, whose value no traceback shows: it may be a secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(f"{self.partition('=')[0]}=...")


def _unshown(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[Override, ...]:
    return tuple(map(Override, texts))


def environment_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What a shell offers after ``--env``."""
    from tickrail.config.files import environments

    try:
        known = environments(Path(ctx.params.get("config_root") or os.environ.get("TICKRAIL_CONFIG_ROOT") or "config"))
    except OSError:
        return []
    return [name for name in known if name.startswith(incomplete)]


def json_option(function: Function) -> Function:
    """``--json``: output, and errors on stderr, for a program."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON; errors are JSON on stderr.")(function)


def traceback_option(function: Function) -> Function:
    """``--traceback``; the group reads it from the command line, so that it works in any place."""
    help_text = "Show where an error arose [TICKRAIL_TRACEBACK=1]."
    return click.option("--traceback", is_flag=True, expose_value=False, help=help_text)(function)


def new_file(out: Path, *, force: bool) -> None:
    """Make way for a file to be written: an existing one stays unless ``force``.

    Raises:
        click.UsageError: The file exists.
    """
    if out.exists() and not force:
        raise click.UsageError(f"{out} exists; --force replaces it")
