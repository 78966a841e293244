"""``tickrail graph``: what a run is put together from, and in which order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tickrail.cli.failures import OK
from tickrail.cli.options import configuration_options, json_option, traceback_option

if TYPE_CHECKING:
    from tickrail.orchestration.wiring import Wiring

__all__ = ["graph"]

SHAPES = {"feed": ("[/", "/]"), "venue": ("[\\", "\\]"), "service": ("(", ")"), "strategy": ("[", "]")}


@click.command(short_help="Show what a run is made of, in order.")
@configuration_options
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "json"]), default="text", show_default=True, help="How."
)
@json_option
@traceback_option
def graph(
    *, env: str, config_root: Path, secrets_dir: Path | None, overrides: tuple[str, ...], form: str, as_json: bool
) -> int:
    """Show what a run of an environment is made of: feeds, venues, services, strategies.

    In the order in which they are made and started; they are stopped in
    reverse. After the arrow stands what a part is given. Nothing is started.
    """
    from tickrail.orchestration.bootstrapper import RuntimeBootstrapper

    wiring = RuntimeBootstrapper(env, root=config_root, secrets_dir=secrets_dir, overrides=overrides).check()
    if as_json or form == "json":
        click.echo(json.dumps(wiring.to_dict()))
        return OK
    for line in _mermaid(wiring) if form == "mermaid" else _text(wiring):
        click.echo(line)
    return OK


def _text(wiring: Wiring) -> Iterable[str]:
    rows = [(part.kind, part.name, part.what, part.scope, part.place) for part in wiring.parts]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    number_width = len(str(len(rows)))
    for number, (row, part) in enumerate(zip(rows, wiring.parts, strict=True), start=1):
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        needs = f"  <- {', '.join(part.needs)}" if part.needs else ""
        yield f"{number:>{number_width}}  {cells}{needs}".rstrip()
    yield f"graph {wiring.digest}"


def _mermaid(wiring: Wiring) -> Iterable[str]:
    yield "flowchart LR"
    ids = {part.name: f"n{number}" for number, part in enumerate(wiring.parts) if part.kind == "service"}
    for number, part in enumerate(wiring.parts):
        opening, closing = SHAPES[part.kind]
        label = "<br/>".join(text.replace('"', "#quot;").replace("<", "#lt;") for text in (part.name, part.what))
        yield f'    n{number}{opening}"{label}"{closing}'
        for need in part.needs:
            yield f"    {ids[need]} --> n{number}"
