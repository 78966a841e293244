"""``tickrail check``: everything short of starting, all problems at once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from tickrail.cli.failures import OK
from tickrail.cli.options import configuration_options, json_option, traceback_option

__all__ = ["check"]


@click.command(short_help="Check everything short of starting.")
@configuration_options
@json_option
@traceback_option
def check(*, env: str, config_root: Path, secrets_dir: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check everything short of starting, and start nothing.

    Configuration, adapters, data files, classes and their parameters,
    services and how they depend on each other. Every problem is listed, each
    with its place; the exit code is then 78.
    """
    from tickrail.orchestration.bootstrapper import RuntimeBootstrapper

    wiring = RuntimeBootstrapper(env, root=config_root, secrets_dir=secrets_dir, overrides=overrides).check()
    if as_json:
        click.echo(json.dumps({"ok": True, **wiring.to_dict()}))
        return OK
    counts = Counter(part.kind for part in wiring.parts)
    found = ", ".join(_counted(counts[kind], kind) for kind in ("feed", "venue", "service") if counts[kind])
    click.echo(f"{env}: all is well with {_strategies(counts['strategy'])} ({found})")
    click.echo(f"configuration {wiring.configuration_digest}")
    return OK


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count > 1 else "")


def _strategies(count: int) -> str:
    return "1 strategy" if count == 1 else f"{count} strategies"
