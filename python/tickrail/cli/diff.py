"""``tickrail diff``: what two environments do not share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tickrail.cli.failures import FAILED, OK
from tickrail.cli.options import environment_names, json_option, source_options, traceback_option

__all__ = ["diff"]


@click.command(short_help="Show what two environments do not share.")
@click.argument("before", shell_complete=environment_names)
@click.argument("after", shell_complete=environment_names)
@source_options
@click.option("--exit-code", is_flag=True, help="Exit 1 where they differ.")
@json_option
@traceback_option
def diff(
    *,
    before: str,
    after: str,
    config_root: Path,
    secrets_dir: Path | None,
    overrides: tuple[str, ...],
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show what the environments BEFORE and AFTER do not share, with who set it.

    Both are loaded with the same variables, secrets and --set. A secret that
    differs shows as stars on both sides.
    """
    from tickrail.config import load_config
    from tickrail.config.rendering import differences

    old, new = (
        load_config(env, root=config_root, secrets_dir=secrets_dir, overrides=overrides) for env in (before, after)
    )
    found = differences(old, new)
    if as_json:
        listed = [{"path": one.path, "before": _facts(one.before), "after": _facts(one.after)} for one in found]
        click.echo(json.dumps({"before": before, "after": after, "differences": listed}))
    else:
        for one in found:
            for sign, entry in (("-", one.before), ("+", one.after)):
                if entry is not None:
                    click.echo(f"{sign} {entry.line}  # {entry.provenance}")
    return FAILED if found and exit_code else OK


def _facts(entry: Any) -> dict[str, Any] | None:
    if entry is None:
        return None
    from tickrail.config.rendering import plain

    return {"value": plain(entry.value), "origin": [str(one) for one in entry.origin.history()]}
