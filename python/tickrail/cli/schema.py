"""``tickrail schema``: the JSON schema of configuration files, for editors."""

from __future__ import annotations

import json

import click

from tickrail.cli.options import traceback_option

__all__ = ["schema"]


@click.command(short_help="Print the JSON schema of configuration files.")
@traceback_option
def schema() -> None:
    """Print the JSON schema of configuration files, for editors.

    tickrail schema > config/schema.json, and as the first line of a file:
    #:schema ../schema.json
    """
    from tickrail.config.json_schema import file_schema

    click.echo(json.dumps(file_schema(), indent=2))
