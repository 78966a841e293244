"""``tickrail show``: the configuration of an environment as it is after all layers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tickrail.cli.failures import OK
from tickrail.cli.options import configuration_options, json_option, traceback_option

__all__ = ["show"]


@click.command(short_help="Show the configuration after all layers.")
@configuration_options
@click.option("--origin", is_flag=True, help="Say who set each value, and over whom.")
@json_option
@traceback_option
def show(
    *,
    env: str,
    config_root: Path,
    secrets_dir: Path | None,
    overrides: tuple[str, ...],
    origin: bool,
    as_json: bool,
) -> int:
    """Show the configuration of an environment after all layers, as TOML.

    Defaults are shown too; secrets are stars.
    """
    from tickrail.config import load_config
    from tickrail.config.rendering import entries

    loaded = load_config(env, root=config_root, secrets_dir=secrets_dir, overrides=overrides)
    listed = entries(loaded)
    if as_json:
        facts = {
            "env": env,
            "digest": loaded.digest.hex(),
            "config": loaded.config.model_dump(mode="json", by_alias=True),
        }
        if origin:
            facts["origins"] = {entry.path: [str(one) for one in entry.origin.history()] for entry in listed}
        click.echo(json.dumps(facts))
        return OK
    width = max(len(entry.line) for entry in listed)
    for entry in listed:
        click.echo(f"{entry.line:<{width}}  # {entry.provenance}" if origin else entry.line)
    click.echo(f"# digest {loaded.digest.hex()}")
    return OK
